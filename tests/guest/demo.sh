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

# The daemon serves a virtio device to the remote: any program of Linux talks to core 1.
modprobe vhost_vsock
set -- rslctl run --user nobody --open /dev/vhost-vsock:vhost-vsock -- \
	rslctl virtio --version 2 --device vsock,cid=42
echo
echo "# $* &"
"$@" &
daemon=$!
tries=0
until said=$(echo 'hello, core 1' | socat -t 30 - VSOCK-CONNECT:42:7 2>/dev/null); do
	tries=$((tries + 1))
	[ $tries -lt 120 ]
	sleep 0.5
done
echo
echo "# echo 'hello, core 1' | socat - VSOCK-CONNECT:42:7"
echo "$said"
[ "$said" = 'hello, core 1' ]
show grep -e '^Uid' -e '^CapEff' /proc/$daemon/status
grep -q '^CapEff:[[:space:]]*0000000000000000$' /proc/$daemon/status
show rslctl status
kill $daemon
wait $daemon
show rslctl teardown
test ! -e /dev/rsl_mbox0
test ! -e /sys/module/rsl_mbox
# Nothing worth a warning in the kernel's log, but that the module is out of tree.
if dmesg -r | grep '^<[0-4]>' | grep -v -e taint -e 'hrtimer: interrupt took'; then
	exit 1
fi
