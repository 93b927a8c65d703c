# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Device tree overlay of the machine's links"
SUMMARY:${PN}-autostart = "Sets the machine's links up at boot"
DESCRIPTION = "The overlay in /boot/devicetree and where images are deployed, and a package that sets the links up at boot."
SECTION = "bsp"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSES/BSD-3-Clause.txt;md5=479f1a48973f1f7b7cd0e22d515c0309"

FILESEXTRAPATHS:prepend := "${RSL_SOURCE}:"
SRC_URI = "\
    file://LICENSES/BSD-3-Clause.txt \
    file://dt-overlays/${RSL_BOARD}.dtso \
"

inherit devicetree update-rc.d

# An overlay is not the machine's tree, which the class says it is.
# nooelint: oelint.var.order.PROVIDES - after the class
PROVIDES = ""
# Which machines have one is said by RSL_BOARD.
COMPATIBLE_MACHINE = ".*"

INITSCRIPT_PACKAGES = "${PN}-autostart"
INITSCRIPT_NAME = "rsl"
INITSCRIPT_PARAMS = "defaults 90 10"
INHIBIT_UPDATERCD_BBCLASS = "${@bb.utils.contains('DISTRO_FEATURES', 'systemd', '1', '', d)}"

DT_FILES = "${RSL_BOARD}.dtso"
DT_FILES_PATH = "${S}/dt-overlays"
# The overlays include nothing of the kernel's.
KERNEL_INCLUDE = ""

# nooelint: oelint.task.noanonpython - to say what to do about it
python () {
    if not d.getVar('RSL_BOARD'):
        raise bb.parse.SkipRecipe("no board is known for MACHINE '%s': set RSL_BOARD to the name of an overlay in %s"
                                  % (d.getVar('MACHINE'), d.expand('${RSL_SOURCE}/dt-overlays')))
}

do_install:append() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        for target in multi-user.target rsl.target; do
            install -d ${D}${systemd_system_unitdir}/$target.wants
            ln -s ../rsl-setup@.service ${D}${systemd_system_unitdir}/$target.wants/rsl-setup@${RSL_BOARD}.service
        done
    else
        # As the scripts beside common.sh.
        printf '#!/bin/sh\nBOARD=%s\n. %s\n' '${RSL_BOARD}' '${nonarch_libdir}/rslctl/bringup/common.sh' > ${WORKDIR}/init
        install -Dm 0755 ${WORKDIR}/init ${D}${INIT_D_DIR}/${INITSCRIPT_NAME}
    fi
}

PACKAGES =+ "${PN}-autostart"

FILES:${PN}-autostart += "${sysconfdir}/init.d ${systemd_system_unitdir}"

RDEPENDS:${PN}-autostart += "rslctl"
