# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's systemd.bbclass: units are packaged. Left out: their enabling in the
# package's scripts, and the check that each is there.
FILES:${PN} += "${@' '.join('${systemd_system_unitdir}/' + unit for unit in d.getVar('SYSTEMD_SERVICE:' + d.getVar('PN')).split())}"
