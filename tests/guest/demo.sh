#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The main job as a user does it, in the emulated board. Ends at the first failure.
set -eu

show() {
	echo
	echo "# $*"
	"$@"
}

dmesg -c >/dev/null
show rslctl setup --board qemu-virt
show rslctl kick 3 --wait 30
show rslctl run --user nobody -- python3 /guest/tests/guest/roundtrips.py 1000
show rslctl status
show rslctl teardown
test ! -e /dev/rsl_mbox0
test ! -e /sys/module/rsl_mbox
# Nothing worth a warning in the kernel's log, but that the module is out of tree.
if dmesg -r | grep '^<[0-4]>' | grep -v -e taint -e 'hrtimer: interrupt took'; then
	exit 1
fi
