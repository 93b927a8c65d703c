#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The main job as a user does it, in the emulated board. Ends at the first failure.
set -eu

show() {
	echo
	echo "# $*"
	"$@"
}

# Kick vector 3 and show the remote's answer. The wait has to be there first.
kick_and_wait() {
	echo
	echo "# rslctl wait 3 --timeout 30 &"
	rslctl wait 3 --timeout 30 >answer 2>waiting &
	waiter=$!
	until grep -q waiting waiting; do
		kill -0 $waiter
		sleep 0.1
	done
	cat waiting
	show rslctl kick 3
	wait $waiter
	cat answer
	grep -q 'notified on vector 3' answer
}

dmesg -c >/dev/null
show rslctl setup --board qemu-virt
kick_and_wait
show rslctl run --user nobody -- python3 /guest/tests/guest/roundtrips.py 1000
show rslctl status
show rslctl teardown
test ! -e /dev/rsl_mbox0
test ! -e /sys/module/rsl_mbox
# Nothing worth a warning in the kernel's log, but that the module is out of tree.
if dmesg -r | grep '^<[0-4]>' | grep -v -e taint -e 'hrtimer: interrupt took'; then
	exit 1
fi
