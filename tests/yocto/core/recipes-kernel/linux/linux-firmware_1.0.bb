# SPDX-License-Identifier: BSD-3-Clause
# Plays whatever is no kernel.
SRC_URI = ""
