# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Links to second runtimes on the same chip"
DESCRIPTION = "The kernel module, rslctl, and where the machine is a known board its overlay, set up at boot."

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

RDEPENDS:${PN} = "\
    ${@'rsl-board' if d.getVar('RSL_BOARD') else ''} \
    kernel-module-rsl-mbox \
    rslctl \
"
RRECOMMENDS:${PN} = "\
    ${@'rsl-board-autostart' if d.getVar('RSL_BOARD') else ''} \
    kernel-module-tun \
    kernel-module-uio-pdrv-genirq \
    kernel-module-vhost-net \
    kernel-module-vhost-vsock \
    ${RSL_REMOTEPROC} \
"
