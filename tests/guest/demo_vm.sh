#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A link between two virtual machines, on one side of it: demo_vm.sh daemon|remote. The
# programs are those of the tutorial. Ends at the first failure.
set -eu
role=$1
examples=/guest/examples
meet() { python3 /guest/tests/guest/meet.py "$1"; }

show() {
	echo
	echo "$role# $*"
	"$@"
}

dmesg -c >/dev/null
if [ "$role" = daemon ]; then
	show rslctl setup --board ivshmem
	meet 1
	# The remote's program waits for kicks now.
	meet 2
	show rslctl run --user nobody -- python3 $examples/daemon.py | tee /tmp/said
	grep -q '^the remote says: HELLO$' /tmp/said
	meet 3
	show rslctl status
else
	show rslctl setup --board ivshmem-remote
	meet 1
	rslctl run --user nobody -- python3 $examples/remote.py &
	remote=$!
	until [ "$(cat /sys/class/rsl_mbox/*/open_files)" -gt 0 ]; do sleep 0.1; done
	# Python begins to wait a moment after it has opened the device.
	sleep 2
	meet 2
	meet 3
	kill $remote || true
	wait $remote || true
fi
meet 4
show rslctl teardown
if dmesg -r | grep '^<[0-4]>' | grep -v -e taint -e 'hrtimer: interrupt took' \
	-e 'sched: RT throttling'; then
	exit 1
fi
