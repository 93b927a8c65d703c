# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's class of that name, with python_pep517.bbclass: a wheel is made and
# installed. Left out: python3-native, python3-build and python3-installer; the host's pip does it.
DEPENDS += "python3-setuptools-native"
FILES:${PN} += "${libdir}/python3*"

python_setuptools_build_meta_do_compile() {
    ${PYTHON} -m pip -q wheel --no-deps --no-build-isolation --wheel-dir ${WORKDIR}/dist ${S}
}
do_compile[cleandirs] = "${WORKDIR}/dist"

python_setuptools_build_meta_do_install() {
    ${PYTHON} -m pip -q install --no-deps --no-index --no-compile --ignore-installed \
        --no-warn-script-location --root ${D} --prefix ${prefix} ${WORKDIR}/dist/*.whl
}

EXPORT_FUNCTIONS do_compile do_install
