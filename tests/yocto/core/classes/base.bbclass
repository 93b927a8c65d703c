# SPDX-License-Identifier: BSD-3-Clause
python do_unpack() {
    bb.fetch2.Fetch((d.getVar('SRC_URI') or '').split(), d).unpack(d.getVar('SOURCES'))
}
do_unpack[dirs] = "${SOURCES}"
do_unpack[cleandirs] = "${@d.getVar('S') if d.getVar('S') != d.getVar('WORKDIR') else ''}"
do_unpack[nostamp] = "1"
addtask unpack

base_do_compile() {
    :
}
do_compile[dirs] = "${B}"
do_compile[nostamp] = "1"
addtask compile after do_unpack

base_do_install() {
    :
}
do_install[dirs] = "${B}"
do_install[cleandirs] = "${D}"
do_install[nostamp] = "1"
addtask install after do_compile

EXPORT_FUNCTIONS do_compile do_install
