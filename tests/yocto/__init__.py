# SPDX-License-Identifier: BSD-3-Clause
"""What the layer yocto/meta-rsl is tried with: bitbake, without openembedded-core."""
