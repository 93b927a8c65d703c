# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's module.bbclass: make and make modules_install, in a kernel's build
# directory. Left out: the kernel itself (../kernel plays its Makefile), module-base.bbclass's
# signing and KBUILD_EXTRA_SYMBOLS, and kernel-module-split.bbclass.
EXTRA_OEMAKE += "KERNEL_SRC=${CORE}/kernel"

module_do_compile() {
    make ${EXTRA_OEMAKE}
}

module_do_install() {
    make ${EXTRA_OEMAKE} modules_install
}

EXPORT_FUNCTIONS do_compile do_install
