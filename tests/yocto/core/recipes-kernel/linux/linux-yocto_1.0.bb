# SPDX-License-Identifier: BSD-3-Clause
# Plays linux-yocto (openembedded-core) and linux-xlnx (meta-xilinx). Left out: fetch and build.
inherit kernel kernel-yocto
SRC_URI = ""
