# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's pypi.bbclass: the address and the directory of the sources. Left out:
# PYPI_SRC_URI's mirrors, upstream checks; the archive is in the test's downloads.
PYPI_PACKAGE ?= "${@d.getVar('BPN').removeprefix('python3-')}"
SRC_URI:prepend = "https://pypi/${PYPI_PACKAGE}-${PV}.tar.gz "
S = "${SOURCES}/${PYPI_PACKAGE}-${PV}"
