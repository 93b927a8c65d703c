# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's devicetree.bbclass: compiles DT_FILES, with symbols, installs to
# /boot/devicetree. Left out: the C preprocessor, includes, overlays, do_deploy.
PROVIDES = "virtual/dtb"
S = "${SOURCES}"
B = "${WORKDIR}/build"
DT_FILES_PATH ?= "${S}"
DT_FILES ?= ""

devicetree_do_compile() {
    for source in ${DT_FILES}; do
        dtc -q -@ -I dts -O dtb -o ${source%.dts}.dtb ${DT_FILES_PATH}/$source
    done
}

devicetree_do_install() {
    for made in $(ls *.dtb); do
        install -Dm 0644 $made ${D}/boot/devicetree/$made
    done
}

EXPORT_FUNCTIONS do_compile do_install
