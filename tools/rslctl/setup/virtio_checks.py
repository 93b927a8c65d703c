# SPDX-License-Identifier: BSD-3-Clause
"""Checks of virtio devices: what their back-ends need, and what the headers in the memory tell."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from rslctl.errors import RslError
from rslctl.linux import modules
from rslctl.linux.host import Host
from rslctl.profile import virtio
from rslctl.profile.model import Link, Virtio
from rslctl.profile.virtio import Word
from rslctl.setup.checks import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The network interface that the RSL daemon creates and leaves down.
_TAP = "tap0"
_NETWORK = "/sys/class/net"
#: include/uapi/linux/if.h and if_tun.h; the latter are in the attribute tun_flags.
_IFF_UP = 1
_IFF_TAP = 2
_IFF_MULTI_QUEUE = 0x100

#: The sockets of this network namespace; the last of eight columns is the path (proc(5)).
_SOCKETS = "/proc/net/unix"

#: How the back-end of a kind that is given a socket is started.
_START = {
    "net": "passt --vhost-user --socket {path}",
    "blk": "qemu-storage-daemon --blockdev driver=file,node-name=disk,filename=IMAGE --export "
    "type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,addr.path={path}",
    "vsock": "vhost-device-vsock --guest-cid=N --uds-path=PATH --socket={path}",
    "fs": "virtiofsd --socket-path={path} --shared-dir DIRECTORY",
}

#: The bits of features that are a device's own and not of its rings (virtio 1.2, chapter 6).
_OWN = 0x00FF_FFFF


def back_ends(host: Host, link: Link) -> Iterator[Finding]:
    """Check what the back-ends need that the profile names.

    Whether the daemon's user may use it cannot be told: descriptors may be given to the daemon.
    """
    if not link.virtio:
        return
    words = [virtio.parse(text) for text in link.virtio.devices]
    for word in words:
        tap, socket = word.option("tap"), word.option("socket")
        what = f"{link.name}: {word}"
        if tap:
            yield from _tap(host, what, tap)
            yield from _vhost(host, what, "vhost-net", "CONFIG_VHOST_NET")
        elif word.option("cid"):
            yield from _vhost(host, what, "vhost-vsock", "CONFIG_VHOST_VSOCK")
        elif socket and word.kind != "console":  # at which the daemon itself listens
            yield from _socket(host, what, word.kind, socket)
        elif word.kind == "net":
            yield from _down(host, _TAP)
        elif word.kind == "9p" and not _is_for_rsl_daemon(link.virtio, words):
            yield Finding(
                "no-back-end",
                "error",
                f"{what}: nothing serves 9p but the RSL daemon, and the profile's devices are "
                "for rslctl virtio, which refuses to start with it",
                "new firmware takes fs, as 'fs,socket=PATH,tag=TEXT' in link.virtio.devices; "
                "firmware that wants 9p keeps the RSL daemon, with version 1 and no options",
            )


def _is_for_rsl_daemon(served: Virtio, words: Iterable[Word]) -> bool:
    """Whether the RSL daemon can serve the devices: it has options of its own."""
    return served.version == 1 and not any(word.options for word in words)


def _vhost(host: Host, what: str, name: str, option: str) -> Iterator[Finding]:
    """Check that the kernel has a vhost device."""
    module = name.replace("-", "_")
    # A driver that is there, as a module or built in, has a device of class misc.
    there = host.exists(f"/sys/class/misc/{name}")
    if not there and not modules.available(host, module):
        yield Finding(
            "vhost",
            "error",
            f"{what}: this kernel has no {module}, which serves it",
            f"a kernel with {option}, or its package of modules; then modprobe {module}",
        )
    elif not host.exists(f"/dev/{name}"):
        yield Finding(
            "vhost",
            "error",
            f"{what}: there is no /dev/{name}"
            + ("" if there else f", as {module} is not loaded and udev has made no node for it"),
            "is devtmpfs mounted on /dev?" if there else f"modprobe {module}",
        )


def _tap(host: Host, what: str, name: str) -> Iterator[Finding]:
    """Check that a network interface is a tap that vhost-net can have."""
    directory = f"{_NETWORK}/{name}"
    make = f"ip tuntap add dev {name} mode tap user USER vnet_hdr; ip link set {name} up"
    if not host.exists(directory):
        yield Finding(
            "tap",
            "error",
            f"{what}: there is no network interface {name}, and a daemon without privilege cannot "
            "make it",
            f"{make}, where USER is the daemon's",
        )
        return
    path = f"{directory}/tun_flags"
    flags = int(host.read_text(path), 16) if host.exists(path) else 0
    if not flags & _IFF_TAP or flags & _IFF_MULTI_QUEUE:
        why = "has several queues" if flags & _IFF_TAP else "is no tap"
        yield Finding(
            "tap",
            "error",
            f"{what}: network interface {name} {why}, and vhost-net needs a tap of one queue",
            f"say another tap= in the profile, or replace it: ip link delete {name}; {make}",
        )
    else:
        yield from _down(host, name)


def _down(host: Host, name: str) -> Iterator[Finding]:
    """Find a network interface that exists and is down."""
    path = f"{_NETWORK}/{name}/flags"
    if host.exists(path) and not int(host.read_text(path), 16) & _IFF_UP:
        address = "ip address add 192.168.200.254/24 dev tap0; " if name == _TAP else ""
        yield Finding(
            "tap",
            "warning",
            f"{name} is down: nothing gets through the daemon's network device",
            f"{address}ip link set {name} up",
        )


def _socket(host: Host, what: str, kind: str, path: str) -> Iterator[Finding]:
    """Check that a back-end listens at a socket, or has a connection that it accepted there.

    The socket is not connected to: some back-ends end when their first connection does.
    """
    start = _START.get(kind, "a vhost-user back-end of this device that listens at {path}")
    start = f"start its back-end before the daemon: {start.format(path=path)}"
    if not path.startswith("/"):
        yield Finding(
            "socket",
            "unknown",
            f"{what}: cannot tell: the path is relative to where the daemon starts",
            "say an absolute path",
        )
        return
    try:
        state = host.stat(path)
        is_bound = state is not None and _is_bound(host, path)
    except RslError as error:
        yield Finding("socket", "unknown", f"{what}: cannot tell: {error}", "run it as root")
        return
    if state is None:
        yield Finding("socket", "error", f"{what}: there is no socket '{path}'", start)
    elif not stat.S_ISSOCK(state.st_mode):
        yield Finding(
            "socket",
            "error",
            f"{what}: '{path}' is no socket",
            f"move that file away, and {start}",
        )
    elif not is_bound:
        yield Finding(
            "socket",
            "error",
            f"{what}: nobody listens at '{path}': a back-end that has ended left the socket",
            f"{start}. One in another network namespace cannot be seen, and may be right",
        )


def _is_bound(host: Host, path: str) -> bool:
    """Whether a process of this network namespace has a socket of this path."""
    names = (path, host.real(path))
    for line in host.read_text(_SOCKETS).splitlines()[1:]:
        for bound in line.split(maxsplit=7)[7:]:
            # Who was given a relative path has bound that.
            relative = not bound.startswith(("/", "@"))
            if bound in names or (relative and path.endswith("/" + bound.removeprefix("./"))):
                return True
    return False


def headers(link: str, devices: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Check devices of a link as docs/reference/status.md describes them."""
    for device in devices:
        what = f"{link}: virtio device {device['name']}"
        if device["state"] == "broken":
            yield Finding(
                "virtio-device",
                "error",
                f"{what} says NEEDS_RESET: its back-end failed, or the remote's driver did what no "
                "driver may; the daemon's log says which",
                "the driver has to reset it: restart the remote's program, or have it write 0 to "
                "STATUS",
            )
        elif device["state"] == "failed":
            yield Finding(
                "virtio-device",
                "error",
                f"{what}: the remote's driver says FAILED: it cannot use the device",
                "is it a driver for this device, and this version of the registers "
                f"({device['version']})? rslctl layout shows what is where",
            )
        elif device["state"] == "away":
            yield Finding(
                "virtio-device",
                "error",
                f"{what}: its back-end went away, and the daemon waits for it",
                "start the back-end; the daemon's log says where it has to listen",
            )
        yield from _features(what, device)


def _features(what: str, device: dict[str, Any]) -> Iterator[Finding]:
    """Compare the features that a driver took with those of the device."""
    offered, taken = device["features_offered"], device["features_taken"]
    if device["state"] not in ("running", "away") or taken is None:
        return
    wrong, missing = taken & ~offered, offered & ~taken & _OWN
    if wrong:
        yield Finding(
            "features",
            "error",
            f"{what}: the driver took features that the device does not have: bits {_bits(wrong)}",
            "have the driver take only what DEVICE_FEATURES has, and restart the remote's program",
        )
    if missing:
        yield Finding(
            "features",
            "warning",
            f"{what}: the driver did not take bits {_bits(missing)} of the device's features, so "
            "it works without them",
            "nothing, if that is meant; otherwise have the driver take them (virtio 1.2, chapter "
            "5, says what they do)",
        )


def _bits(features: int) -> str:
    return ", ".join(str(bit) for bit in range(64) if features >> bit & 1)
