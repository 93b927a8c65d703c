# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's recipe of that name. Left out: all that an image is made of.
SUMMARY = "An image"
LICENSE = "MIT"
IMAGE_INSTALL = "base"
inherit image
