# SPDX-License-Identifier: BSD-3-Clause
# Plays a kernel that takes no fragments, as linux-dummy, or any that inherits kernel alone.
inherit kernel
SRC_URI = ""
