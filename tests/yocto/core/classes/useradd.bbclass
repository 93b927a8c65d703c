# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's useradd.bbclass: that each package of USERADD_PACKAGES has a parameter
# (USERADD_PARAM, too, in the real one). Left out: the group itself.
python () {
    for package in d.getVar('USERADD_PACKAGES').split():
        if not d.getVar('GROUPADD_PARAM:' + package):
            bb.fatal('no group for ' + package)
}
