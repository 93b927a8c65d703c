# SPDX-License-Identifier: BSD-3-Clause
python () {
    for package in d.getVar('USERADD_PACKAGES').split():
        if not d.getVar('GROUPADD_PARAM:' + package):
            bb.fatal('no group for ' + package)
}
