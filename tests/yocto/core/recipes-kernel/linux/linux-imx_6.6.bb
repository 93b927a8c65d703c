# SPDX-License-Identifier: BSD-3-Clause
# Plays meta-imx-bsp/recipes-kernel/linux/linux-imx_6.6.bb of meta-imx: its do_copy_defconfig drops
# what kernel-yocto has merged, then do_merge_delta_config merges DELTA_KERNEL_DEFCONFIG. Left out:
# fetch and build.
inherit kernel kernel-yocto
SRC_URI = ""
DELTA_KERNEL_DEFCONFIG ?= ""
do_merge_delta_config() {
    :
}
