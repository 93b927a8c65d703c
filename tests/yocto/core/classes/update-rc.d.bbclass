# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's update-rc.d.bbclass: where scripts are. Left out: the links of rc?.d.
INIT_D_DIR = "${sysconfdir}/init.d"
