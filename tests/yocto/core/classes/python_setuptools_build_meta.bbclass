# SPDX-License-Identifier: BSD-3-Clause
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
