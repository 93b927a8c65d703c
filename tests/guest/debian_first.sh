#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# In a root of Debian: what its administrator does once, and then its boot.
set -eu
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mount -t devtmpfs devtmpfs /dev
dpkg --install /guest/rslctl_*.deb
# The commands of docs/how-to/debian.md.
/bin/sh -eu /guest/at_boot.sh
umount /dev
exec /sbin/init
