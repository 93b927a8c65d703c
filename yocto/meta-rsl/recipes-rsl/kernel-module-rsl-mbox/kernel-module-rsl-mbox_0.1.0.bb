# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Kernel module for links to second runtimes on the same chip"
DESCRIPTION = "One character device per link: shared memory and notifications, by a mailbox or by doorbells."
SECTION = "kernel/modules"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://GPL-2.0-only.txt;md5=b234ee4d69f5fce4486a80fdaf4a4263"

FILESEXTRAPATHS:prepend := "${RSL_SOURCE}/kmod/rsl_mbox:${RSL_SOURCE}/LICENSES:"
# File by file: what a build by hand left in the checkout stays there.
SRC_URI = "\
    file://GPL-2.0-only.txt;subdir=${BP} \
    file://Kbuild;subdir=${BP} \
    file://Makefile;subdir=${BP} \
    file://chardev.c;subdir=${BP} \
    file://compat.h;subdir=${BP} \
    file://doorbell.c;subdir=${BP} \
    file://eventfd.c;subdir=${BP} \
    file://link.c;subdir=${BP} \
    file://mailbox.c;subdir=${BP} \
    file://mailbox_styles.c;subdir=${BP} \
    file://mailbox_styles.h;subdir=${BP} \
    file://main.c;subdir=${BP} \
    file://memory.c;subdir=${BP} \
    file://register.c;subdir=${BP} \
    file://rsl_mbox.h;subdir=${BP} \
    file://sysfs.c;subdir=${BP} \
    file://trace.h;subdir=${BP} \
    file://uapi/linux/rsl_mbox.h;subdir=${BP} \
    file://umb.c;subdir=${BP} \
"

inherit module

do_install:append() {
    install -Dm 0644 ${S}/uapi/linux/rsl_mbox.h ${D}${includedir}/linux/rsl_mbox.h
}
