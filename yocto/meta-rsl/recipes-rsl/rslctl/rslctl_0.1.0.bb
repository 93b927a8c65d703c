# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Brings up links to second runtimes on the same chip"
DESCRIPTION = "The command line rslctl, its board profiles, units, udev rules and manuals, and librsl: C headers for daemons and for remotes."
SECTION = "console/utils"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=47b210fd2840400a48f0795b85b58123 \
    file://LICENSES/BSD-3-Clause.txt;md5=479f1a48973f1f7b7cd0e22d515c0309 \
"

require recipes-rsl/rsl-source.inc

RSL_FILES = "LICENSE LICENSES README.md docs dt-overlays pyproject.toml tools"

inherit bash-completion python_setuptools_build_meta systemd useradd

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system rsl"

# The others are templates: which board and which links there are is said by whoever enables
# them, as rsl-board-autostart does.
SYSTEMD_AUTO_ENABLE = "disable"
SYSTEMD_SERVICE:${PN} = "rsl.target"

do_install:append() {
    install -d ${D}${sysconfdir}/rslctl
    install -Dm 0644 -t ${D}${nonarch_base_libdir}/udev/rules.d ${S}/tools/udev/*.rules
    install -Dm 0644 -t ${D}${includedir} ${S}/tools/librsl/*.h
    install -Dm 0644 -t ${D}${docdir}/${BPN}/examples \
        ${S}/tools/examples/*.c ${S}/tools/examples/*.py ${S}/tools/systemd/*.conf
    (cd ${S}/docs && find . -name '*.md' -exec install -Dm 0644 {} ${D}${docdir}/${BPN}/{} \;)

    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -Dm 0644 -t ${D}${systemd_system_unitdir} \
            ${S}/tools/systemd/*.service ${S}/tools/systemd/*.socket ${S}/tools/systemd/*.target
        install -Dm 0644 -t ${D}${nonarch_libdir}/sysusers.d ${S}/tools/systemd/sysusers.d/*.conf
        install -Dm 0644 -t ${D}${nonarch_libdir}/tmpfiles.d ${S}/tools/systemd/tmpfiles.d/*.conf
    fi

    install -Dm 0644 -t ${D}${mandir}/man1 ${S}/docs/man/*.1
    install -Dm 0755 -t ${D}${nonarch_libdir}/rslctl/bringup ${S}/tools/bringup/*
    install -Dm 0644 -t ${D}${datadir}/bash-completion/completions ${S}/tools/completions/rslctl
    install -Dm 0644 -t ${D}${datadir}/zsh/site-functions ${S}/tools/completions/_rslctl
    install -Dm 0644 -t ${D}${datadir}/fish/vendor_completions.d ${S}/tools/completions/rslctl.fish
}

PACKAGES =+ "${PN}-zsh-completion ${PN}-fish-completion"

FILES:${PN} += "\
    ${nonarch_libdir}/rslctl \
    ${nonarch_base_libdir}/udev/rules.d \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_system_unitdir} \
"
FILES:${PN}-zsh-completion += "${datadir}/zsh"
FILES:${PN}-fish-completion += "${datadir}/fish"

RDEPENDS:${PN} += "\
    python3-core \
    python3-crypt \
    python3-ctypes \
    python3-difflib \
    python3-fcntl \
    python3-fdt \
    python3-html \
    python3-io \
    python3-json \
    python3-mmap \
    python3-periphery \
    python3-pyudev \
    python3-resource \
    python3-shell \
    python3-shellingham \
    python3-terminal \
    python3-tomllib \
    python3-typer-slim \
"
# While an image is built, it makes overlays.
RDEPENDS:${PN}:class-native = "python3-fdt python3-typer-slim"
# fdtoverlay, for trees merged on the board
RRECOMMENDS:${PN} += "dtc"

BBCLASSEXTEND = "native"
