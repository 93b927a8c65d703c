# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Kernel module for links to second runtimes on the same chip"
DESCRIPTION = "One character device per link: shared memory and notifications, by a mailbox or by doorbells."
SECTION = "kernel/modules"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://LICENSES/GPL-2.0-only.txt;md5=b234ee4d69f5fce4486a80fdaf4a4263"

FILESEXTRAPATHS:prepend := "${RSL_SOURCE}:"
# File by file: what a build by hand left in the checkout stays there.
SRC_URI = "\
    file://LICENSES/GPL-2.0-only.txt;subdir=${BP} \
    file://kmod/rsl_mbox/Kbuild;subdir=${BP} \
    file://kmod/rsl_mbox/Makefile;subdir=${BP} \
    file://kmod/rsl_mbox/chardev.c;subdir=${BP} \
    file://kmod/rsl_mbox/compat.h;subdir=${BP} \
    file://kmod/rsl_mbox/core.c;subdir=${BP} \
    file://kmod/rsl_mbox/doorbell.c;subdir=${BP} \
    file://kmod/rsl_mbox/eventfd.c;subdir=${BP} \
    file://kmod/rsl_mbox/mailbox.c;subdir=${BP} \
    file://kmod/rsl_mbox/memory.c;subdir=${BP} \
    file://kmod/rsl_mbox/rsl_mbox.h;subdir=${BP} \
    file://kmod/rsl_mbox/sysfs.c;subdir=${BP} \
    file://kmod/rsl_mbox/trace.h;subdir=${BP} \
    file://kmod/rsl_mbox/uapi/linux/rsl_mbox.h;subdir=${BP} \
    file://kmod/rsl_mbox/umb.c;subdir=${BP} \
"

inherit module

B = "${S}/kmod/rsl_mbox"

do_install:append() {
    install -Dm 0644 ${B}/uapi/linux/rsl_mbox.h ${D}${includedir}/linux/rsl_mbox.h
}
