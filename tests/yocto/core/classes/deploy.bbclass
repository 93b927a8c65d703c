# SPDX-License-Identifier: BSD-3-Clause
# Plays openembedded-core's deploy.bbclass. Left out: shared state, so DEPLOYDIR is all there is.
DEPLOYDIR = "${WORKDIR}/deploy"
do_deploy[dirs] = "${B}"
do_deploy[cleandirs] = "${DEPLOYDIR}"
