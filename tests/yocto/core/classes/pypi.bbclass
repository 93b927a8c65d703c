# SPDX-License-Identifier: BSD-3-Clause
PYPI_PACKAGE ?= "${@d.getVar('BPN').removeprefix('python3-')}"
SRC_URI:prepend = "https://pypi/${PYPI_PACKAGE}-${PV}.tar.gz "
S = "${SOURCES}/${PYPI_PACKAGE}-${PV}"
