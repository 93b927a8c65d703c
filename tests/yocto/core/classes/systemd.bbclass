# SPDX-License-Identifier: BSD-3-Clause
FILES:${PN} += "${@' '.join('${systemd_system_unitdir}/' + unit for unit in d.getVar('SYSTEMD_SERVICE:' + d.getVar('PN')).split())}"
