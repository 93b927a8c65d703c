# SPDX-License-Identifier: BSD-3-Clause
SUMMARY = "Command lines from type hints, without colours"
DESCRIPTION = "typer without the libraries that it can do without, such as rich."
HOMEPAGE = "https://github.com/fastapi/typer"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=173d405eb704b1499218013178722617"

SRC_URI[sha256sum] = "9fc6607b3c6c20f5c33ea9590cbeb17848667c51feee27d9e314a579ab07d1a3"

PYPI_PACKAGE = "typer_slim"

# Later ones need a later pdm-backend than the 2.1.8 of scarthgap.
inherit pypi python_setuptools_build_meta

DEPENDS += "python3-pdm-backend-native"

RDEPENDS:${PN} += "\
    python3-click \
    python3-core \
    python3-datetime \
    python3-io \
    python3-shell \
    python3-typing-extensions \
"
# Both are the module typer.
RCONFLICTS:${PN} = "python3-typer"

BBCLASSEXTEND = "native"
