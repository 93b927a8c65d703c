# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Command lines from type hints"
DESCRIPTION = "Python module that makes a command line of functions with type hints."
HOMEPAGE = "https://github.com/fastapi/typer"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=173d405eb704b1499218013178722617"

SRC_URI[sha256sum] = "1aaf6494031793e4876fb0bacfa6a912b551cf43c1e63c800df8b1a866720c37"

# Later ones need a later pdm-backend than 2.1.8.
inherit pypi python_setuptools_build_meta

DEPENDS += "python3-pdm-backend-native"

RDEPENDS:${PN} += "\
    python3-click \
    python3-core \
    python3-datetime \
    python3-io \
    python3-rich \
    python3-shell \
    python3-shellingham \
    python3-typing-extensions \
"
