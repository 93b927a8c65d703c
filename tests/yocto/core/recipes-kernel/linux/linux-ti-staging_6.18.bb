# SPDX-License-Identifier: BSD-3-Clause
# Plays linux-ti-staging (meta-ti, setup-defconfig.inc) and linux-stm32mp (meta-st-stm32mp), whose
# do_configure merges KERNEL_CONFIG_FRAGMENTS. Left out: fetch and build.
inherit kernel
SRC_URI = ""
do_configure() {
    for fragment in ${KERNEL_CONFIG_FRAGMENTS}; do
        cat $fragment
    done
}
