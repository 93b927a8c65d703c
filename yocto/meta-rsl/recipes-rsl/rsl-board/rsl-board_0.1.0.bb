# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Device tree overlay of the machine's links"
SUMMARY:${PN}-autostart = "Sets the machine's links up at boot"
DESCRIPTION = "The overlay in /boot/devicetree and where images are deployed, and a package that sets the links up at boot."
SECTION = "bsp"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSES/BSD-3-Clause.txt;md5=479f1a48973f1f7b7cd0e22d515c0309"

DEPENDS = "rslctl-native"

require recipes-rsl/rsl-source.inc

RSL_FILES = "LICENSES/BSD-3-Clause.txt"

inherit deploy rsl_profile update-rc.d

# The profile of a board of the user's own, and those that it extends.
SRC_URI += "${@' '.join('file://' + path for path in rsl_profiles(d))}"
RSL_PROFILES = "${@' '.join(':'.join(each) for each in rsl_profiles(d).items())}"

PACKAGE_ARCH = "${MACHINE_ARCH}"

INITSCRIPT_PACKAGES = "${PN}-autostart"
INITSCRIPT_NAME = "rsl"
INITSCRIPT_PARAMS = "defaults 90 10"
INHIBIT_UPDATERCD_BBCLASS = "${@bb.utils.contains('DISTRO_FEATURES', 'systemd', '1', '', d)}"

# nooelint: oelint.task.noanonpython - to say what to do about it
python () {
    if not d.getVar('RSL_BOARD'):
        raise bb.parse.SkipRecipe("no board is known for MACHINE '%s': set RSL_BOARD to the name of an overlay in "
                                  "dt-overlays, or to the file of a profile" % d.getVar('MACHINE'))
    board, source = d.getVar('RSL_BOARD'), d.getVar('RSL_SOURCE')
    known = os.path.join(source, 'tools/rslctl/profile/boards')
    if source and not board.endswith('.toml') and not os.path.isfile(f'{known}/{board}.toml'):
        bb.parse.mark_dependency(d, f'{known}/{board}.toml')
        names = sorted(each[:-5] for each in os.listdir(known) if each.endswith('.toml'))
        raise bb.parse.SkipRecipe(f"RSL_BOARD: '{board}' is not one of {', '.join(names)}, and no file *.toml")
}

do_compile() {
    rslctl overlay --board ${RSL_BOARD} -o ${B}/${RSL_BOARD_NAME}.dtbo
}

do_install() {
    install -Dm 0644 ${B}/${RSL_BOARD_NAME}.dtbo ${D}/boot/devicetree/${RSL_BOARD_NAME}.dtbo
    for each in ${RSL_PROFILES}; do
        install -Dm 0644 ${each%%:*} ${D}${each#*:}
    done
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        for target in multi-user.target rsl.target; do
            install -d ${D}${systemd_system_unitdir}/$target.wants
            ln -s ../rsl-setup@.service ${D}${systemd_system_unitdir}/$target.wants/rsl-setup@${RSL_BOARD_NAME}.service
        done
    else
        # As the scripts beside common.sh.
        printf '#!/bin/sh\nBOARD=%s\n. %s\n' '${RSL_BOARD_NAME}' '${nonarch_libdir}/rslctl/bringup/common.sh' > ${WORKDIR}/init
        install -Dm 0755 ${WORKDIR}/init ${D}${INIT_D_DIR}/${INITSCRIPT_NAME}
    fi
}

do_deploy() {
    install -Dm 0644 ${B}/${RSL_BOARD_NAME}.dtbo ${DEPLOYDIR}/devicetree/${RSL_BOARD_NAME}.dtbo
}

addtask deploy before do_build after do_compile

PACKAGES =+ "${PN}-autostart"

FILES:${PN} += "/boot/devicetree"
FILES:${PN}-autostart += "${sysconfdir}/init.d ${systemd_system_unitdir}"

RDEPENDS:${PN}-autostart += "rslctl"
