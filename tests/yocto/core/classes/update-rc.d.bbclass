# SPDX-License-Identifier: BSD-3-Clause
INIT_D_DIR = "${sysconfdir}/init.d"
