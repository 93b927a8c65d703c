# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Kernel module for links to second runtimes on the same chip"
DESCRIPTION = "One character device per link: shared memory and notifications, by a mailbox or by doorbells."
SECTION = "kernel/modules"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://LICENSES/GPL-2.0-only.txt;md5=b234ee4d69f5fce4486a80fdaf4a4263"

require recipes-rsl/rsl-source.inc

# File by file: what a build by hand left in the checkout stays there.
RSL_FILES = "\
    LICENSES/GPL-2.0-only.txt \
    kmod/rsl_mbox/Kbuild \
    kmod/rsl_mbox/Makefile \
    kmod/rsl_mbox/chardev.c \
    kmod/rsl_mbox/compat.h \
    kmod/rsl_mbox/doorbell.c \
    kmod/rsl_mbox/eventfd.c \
    kmod/rsl_mbox/ivshmem.c \
    kmod/rsl_mbox/link.c \
    kmod/rsl_mbox/mailbox.c \
    kmod/rsl_mbox/mailbox_styles.c \
    kmod/rsl_mbox/mailbox_styles.h \
    kmod/rsl_mbox/main.c \
    kmod/rsl_mbox/memory.c \
    kmod/rsl_mbox/register.c \
    kmod/rsl_mbox/rsl_mbox.h \
    kmod/rsl_mbox/sysfs.c \
    kmod/rsl_mbox/trace.h \
    kmod/rsl_mbox/uapi/linux/rsl_mbox.h \
    kmod/rsl_mbox/umb.c \
"

inherit module

# S is all of the sources, so that the licence is in what devtool modify takes.
EXTRA_OEMAKE += "-C ${MODULES_MODULE_SYMVERS_LOCATION}"
MODULES_MODULE_SYMVERS_LOCATION = "kmod/rsl_mbox"

do_install:append() {
    install -Dm 0644 ${S}/kmod/rsl_mbox/uapi/linux/rsl_mbox.h ${D}${includedir}/linux/rsl_mbox.h
}
