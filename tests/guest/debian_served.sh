#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# In a booted root of Debian: the link is up and its daemon is served, though nobody logged in.
set -eux

test "$(systemctl is-system-running --wait)" = running
for unit in rsl-setup@qemu-virt rsl.target rsl-daemon@rpu0; do
	systemctl is-active $unit
done
test -z "$(systemctl --no-legend --no-pager list-units --failed)"
test -z "$(who)"
journalctl --no-pager -o cat -u 'rsl-*'
journalctl --no-pager -o cat -u rsl-daemon@rpu0 | grep '^daemon: 1000 round trips on 4 vectors'
test "$(stat -Lc '%G %a' /dev/rsl/rpu0)" = 'rsl 660'
rslctl status | tee /dev/stderr | grep -E 'open files +[1-9]'
test "$(stat -c %u "/proc/$(systemctl show --value -p MainPID rsl-daemon@rpu0)")" != 0
# 0.0 is the safest.
for unit in rsl-setup@qemu-virt:29 rsl-watch@rpu0:19 rsl-daemon@rpu0:19 rsl-broker@rpu0:19; do
	systemd-analyze --no-pager security --threshold="${unit#*:}" "${unit%:*}" >/run/security
	tail -1 /run/security
done
pid=$(systemctl show --value -p MainPID rsl-daemon@rpu0)
test "$(readlink "/proc/$pid/cwd")" = /run/rsl-daemon/rpu0 ||
	test "$(readlink "/proc/$pid/cwd")" = /run/private/rsl-daemon/rpu0
tr '\0' '\n' <"/proc/$pid/environ" | grep -x HOME=/run/rsl-daemon/rpu0
test "$(stat -Lc %u /run/rsl-daemon/rpu0)" != 0
systemd-analyze time

# Removed while it is in use; what was configured and enabled stays until the purge.
test -e /run/rslctl/rpu0.json
dpkg --remove rslctl
test ! -e /run/rslctl/rpu0.json
test -e /etc/rslctl/rpu0.env
dpkg --purge rslctl
test ! -e /etc/rslctl
test ! -e /run/rslctl
test -z "$(getent group rsl)"
test -z "$(systemctl --no-legend --no-pager list-units --state=active 'rsl*')"
test -z "$(systemctl --no-legend --no-pager list-units --failed)"
test -z "$(find /etc/systemd -name 'rsl-*@*.service')"
# No word of the kernel's about it, but that the module is out of tree.
if dmesg -r | grep '^<[0-4]>' | grep -e rsl -e 'Call trace' | grep -v taint; then
	exit 1
fi
