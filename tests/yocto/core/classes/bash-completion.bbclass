# SPDX-License-Identifier: BSD-3-Clause
PACKAGES:prepend = "${PN}-bash-completion "
FILES:${PN}-bash-completion = "${datadir}/bash-completion"
