# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's module.bbclass: make and make modules_install, in a kernel's build
# directory. Left out: the kernel itself (../kernel plays its Makefile), module-base.bbclass's
# signing and KBUILD_EXTRA_SYMBOLS, and kernel-module-split.bbclass.
module_do_compile() {
    make KERNEL_SRC=${CORE}/kernel
}

module_do_install() {
    make KERNEL_SRC=${CORE}/kernel modules_install
}

EXPORT_FUNCTIONS do_compile do_install
