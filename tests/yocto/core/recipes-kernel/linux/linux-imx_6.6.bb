# SPDX-License-Identifier: BSD-3-Clause
# Plays linux-imx 6.6 of meta-imx, whose do_copy_defconfig drops what kernel-yocto has merged, and
# whose do_merge_delta_config then merges DELTA_KERNEL_DEFCONFIG. Left out: fetch and build.
inherit kernel kernel-yocto
SRC_URI = ""
DELTA_KERNEL_DEFCONFIG ?= ""
do_merge_delta_config() {
    :
}
