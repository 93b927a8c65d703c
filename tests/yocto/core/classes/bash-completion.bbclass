# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's bash-completion.bbclass: the package of completions. Left out: its
# RDEPENDS on bash-completion.
PACKAGES:prepend = "${PN}-bash-completion "
FILES:${PN}-bash-completion = "${datadir}/bash-completion"
