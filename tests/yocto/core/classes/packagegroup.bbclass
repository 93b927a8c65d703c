# SPDX-License-Identifier: BSD-3-Clause
PACKAGES = "${PN}"
