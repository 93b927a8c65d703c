# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "An image"
LICENSE = "MIT"
IMAGE_INSTALL = "base"
