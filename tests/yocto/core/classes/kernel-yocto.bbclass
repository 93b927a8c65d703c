# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's kernel-yocto.bbclass, whose do_kernel_metadata takes each *.cfg of
# SRC_URI. It is left out: that SRC_URI has them is what is tested.
