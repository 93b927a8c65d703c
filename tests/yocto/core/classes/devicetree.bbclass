# SPDX-License-Identifier: BSD-3-Clause
PROVIDES = "virtual/dtb"
COMPATIBLE_MACHINE ?= "^$"
S = "${SOURCES}"
B = "${WORKDIR}/build"
KERNEL_INCLUDE ??= "${STAGING_KERNEL_DIR}"
DT_FILES_PATH ?= "${S}"
DT_FILES ?= ""
FILES:${PN} = "/boot/devicetree/*.dtbo"

devicetree_do_compile() {
    for source in ${DT_FILES}; do
        grep -q '^/plugin/;' ${DT_FILES_PATH}/$source
        dtc -q -@ -I dts -O dtb -o ${source%.dtso}.dtbo ${DT_FILES_PATH}/$source
    done
}

devicetree_do_install() {
    install -Dm 0644 -t ${D}/boot/devicetree *.dtbo
}

EXPORT_FUNCTIONS do_compile do_install
