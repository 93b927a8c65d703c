# SPDX-License-Identifier: BSD-3-Clause
inherit kernel
SRC_URI = ""
