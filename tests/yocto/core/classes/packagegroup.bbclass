# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's packagegroup.bbclass. Left out: complementary packages, PACKAGE_ARCH.
PACKAGES = "${PN}"
