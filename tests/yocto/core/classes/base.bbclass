# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's base.bbclass: do_unpack (and do_fetch in it), do_compile, do_install.
# Left out: all else, such as sysroots, do_patch, do_configure, and shared state.
python do_unpack() {
    fetcher = bb.fetch2.Fetch((d.getVar('SRC_URI') or '').split(), d)
    fetcher.download()
    fetcher.unpack(d.getVar('SOURCES'))
}
do_unpack[dirs] = "${SOURCES}"
do_unpack[cleandirs] = "${@d.getVar('S') if d.getVar('S') != d.getVar('WORKDIR') else ''}"
addtask unpack

base_do_compile() {
    :
}
do_compile[dirs] = "${B}"
addtask compile after do_unpack

base_do_install() {
    :
}
do_install[dirs] = "${B}"
do_install[cleandirs] = "${D}"
addtask install after do_compile

EXPORT_FUNCTIONS do_compile do_install
