# SPDX-License-Identifier: BSD-3-Clause
# nooelint: oelint.file.requirenotfound - it is openembedded-core's
require recipes-core/images/core-image-minimal.bb

SUMMARY = "core-image-minimal with a link to a second runtime"
DESCRIPTION = "An example: packagegroup-rsl is all that an image of your own needs."
LICENSE = "BSD-3-Clause"

IMAGE_INSTALL += "packagegroup-rsl"
