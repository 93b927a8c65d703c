# SPDX-License-Identifier: BSD-3-Clause
# Plays device-tree of meta-xilinx-core, which compiles CONFIG_DTFILE, or takes it as it is where it
# is a blob, from DT_FILES_PATH. Left out: all other trees that it can make, system.dtb and do_deploy.
SRC_URI = ""
inherit devicetree
DTB_FILE_NAME ??= ""

devicetree_do_install:append() {
    if [ -n "${DTB_FILE_NAME}" ] && [ -e "${DT_FILES_PATH}/${DTB_FILE_NAME}" ]; then
        install -Dm 0644 ${DT_FILES_PATH}/${DTB_FILE_NAME} ${D}/boot/devicetree/${DTB_FILE_NAME}
    fi
}
