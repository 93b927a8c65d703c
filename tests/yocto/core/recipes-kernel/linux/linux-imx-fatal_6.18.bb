# SPDX-License-Identifier: BSD-3-Clause
# Plays linux-imx 6.18 of meta-freescale, from whose anonymous function these lines are told anew.
# Left out: fetch and build.
inherit kernel kernel-yocto
SRC_URI = ""
python () {
    if 'DELTA_KERNEL_DEFCONFIG' in d.keys():
        bb.fatal("DELTA_KERNEL_DEFCONFIG is there")
}
