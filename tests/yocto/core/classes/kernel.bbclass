# SPDX-License-Identifier: BSD-3-Clause
# A recipe that inherits this is a kernel's.
