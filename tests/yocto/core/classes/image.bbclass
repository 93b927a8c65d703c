# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's image.bbclass: that a recipe is an image's.
