# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's kernel.bbclass and kernel-devicetree.bbclass: the trees of
# KERNEL_DEVICETREE in ${B}/arch/${ARCH}/boot/dts, installed to /boot. Left out: the kernel itself,
# KERNEL_DTBVENDORED, bundles and do_deploy. The sources of the trees are in TREES.
ARCH = "arm64"
B = "${WORKDIR}/build"
KERNEL_DEVICETREE ??= ""
KERNEL_DTC_FLAGS ?= ""
KERNEL_DTBDEST = "/boot"
TREES ??= ""

do_configure() {
    :
}

do_compile() {
    for name in ${KERNEL_DEVICETREE}; do
        mkdir -p $(dirname ${B}/arch/${ARCH}/boot/dts/$name)
        made=${B}/arch/${ARCH}/boot/dts/$name
        source=${TREES}/$(basename $name .dtb).dts
        # As make does, only what is not there, or older than its source, or was made by another
        # command (if_changed_dep of scripts/Kbuild.include).
        if [ ! -e $made ] || [ $source -nt $made ] || [ "$(cat $made.cmd)" != "${KERNEL_DTC_FLAGS}" ]; then
            echo "${KERNEL_DTC_FLAGS}" > $made.cmd
            dtc -q ${KERNEL_DTC_FLAGS} -I dts -O dtb -o $made $source
        fi
    done
}

do_install() {
    for name in ${KERNEL_DEVICETREE}; do
        install -Dm 0644 ${B}/arch/${ARCH}/boot/dts/$name ${D}${KERNEL_DTBDEST}/$(basename $name)
    done
}
