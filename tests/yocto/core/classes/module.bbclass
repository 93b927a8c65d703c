# SPDX-License-Identifier: BSD-3-Clause
module_do_compile() {
    make KERNEL_SRC=${CORE}/kernel
}

module_do_install() {
    make KERNEL_SRC=${CORE}/kernel modules_install
}

EXPORT_FUNCTIONS do_compile do_install
