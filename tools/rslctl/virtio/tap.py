# SPDX-License-Identifier: BSD-3-Clause
"""A network interface of this machine whose other end is the remote: a tap, by /dev/net/tun.

Documentation/networking/tuntap.rst and include/uapi/linux/if_tun.h of Linux.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from rslctl.errors import os_error
from rslctl.virtio.backend import VERSION_1, BackendError

TUN = "/dev/net/tun"

#: struct ifreq as TUNSETIFF has it: ifr_name, ifr_flags, and the rest of a union, of which machines
#: of 32 bits have 8 bytes less.
IFREQ = struct.Struct("=16sH22x")

_INT = struct.Struct("=i")


def _iow(number: int) -> int:
    """The number of an ioctl that is told an int: include/uapi/asm-generic/ioctl.h of Linux."""
    return 1 << 30 | _INT.size << 16 | ord("T") << 8 | number


TUNSETIFF = _iow(202)
TUNSETOFFLOAD = _iow(208)
TUNSETVNETHDRSZ = _iow(216)

IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000

TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
TUN_F_TSO_ECN = 0x08

#: IFNAMSIZ without the final zero.
_NAME_MAX = 15

#: Features of net: VIRTIO 1.2, section 5.1.3.
MRG_RXBUF = 1 << 15

#: What the driver can be handed: GUEST_CSUM, GUEST_TSO4, GUEST_TSO6 and GUEST_ECN, and the flag of
#: TUNSETOFFLOAD that says so.
OFFLOADS = {
    1 << 1: TUN_F_CSUM,
    1 << 7: TUN_F_TSO4,
    1 << 8: TUN_F_TSO6,
    1 << 9: TUN_F_TSO_ECN,
}

#: What a tap with headers can do for a driver: also CSUM, HOST_TSO4, HOST_TSO6 and HOST_ECN.
FEATURES = 1 << 0 | 1 << 11 | 1 << 12 | 1 << 13 | sum(OFFLOADS)


class Tap:
    """A tap; its descriptor is for vhost-net."""

    def __init__(self, name: str, tun: int | None = None) -> None:
        """Attach to the tap *name*, by an open descriptor of /dev/net/tun if *tun* is one.

        The descriptor stays the caller's. A tap that does not exist is made where this process may,
        and then exists as long as it is attached to.

        Raises:
            BackendError: there is no such tap, it is in use, or this process may not use it.
        """
        self.name = name
        if not 0 < len(os.fsencode(name)) <= _NAME_MAX:
            raise BackendError(f"{name!r} is no name of a tap: it has 1 to {_NAME_MAX} bytes")
        try:
            if tun is None:
                self.fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            else:
                self.fd = fcntl.fcntl(tun, fcntl.F_DUPFD_CLOEXEC, 0)
        except OSError as error:
            hint = "load the module: modprobe tun"
            if isinstance(error, PermissionError):
                hint = f"run it as root, or give it the descriptor: rslctl run --open {TUN}:tun ..."
            raise BackendError(str(os_error(f"open '{TUN}'", error)), hint=hint) from error
        try:
            self.attach()
        except BackendError:
            self.close()
            raise

    def attach(self) -> None:
        """Attach to the tap of this name; anew, if it was deleted.

        Raises:
            BackendError: there is no such tap, it is in use, or this process may not use it.
        """
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        try:
            fcntl.ioctl(self.fd, TUNSETIFF, IFREQ.pack(os.fsencode(self.name), flags))
        except OSError as error:
            raise self._refused("attach to", error) from error

    def _refused(self, action: str, error: OSError) -> BackendError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hints = {
            errno.EPERM: f"make it: ip tuntap add dev {self.name} mode tap user USER vnet_hdr",
            errno.EBUSY: "another process is attached to it",
            errno.EINVAL: f"is it a tap of one queue? ip -d link show {self.name}",
            errno.EBADFD: "it was deleted",
        }
        hint = hints.get(error.errno or 0, "")
        return BackendError(f"cannot {action} tap '{self.name}': {reason}", hint=hint)

    def prepare(self, features: int) -> None:
        """Have frames be as a driver wants them that took *features*.

        The header has 12 bytes for VERSION_1 or MRG_RXBUF, else 10: VIRTIO 1.2, section 5.1.6.1.
        What the driver does not take, as large frames or such without checksums, it is not handed.

        Raises:
            BackendError: the kernel refuses, for example as the tap is gone.
        """
        size = 12 if features & (VERSION_1 | MRG_RXBUF) else 10
        offloads = sum(flag for bit, flag in OFFLOADS.items() if features & bit)
        # set_offload() of drivers/net/tun.c refuses the ones without the others.
        if not offloads & TUN_F_CSUM:
            offloads = 0
        elif not offloads & (TUN_F_TSO4 | TUN_F_TSO6):
            offloads = TUN_F_CSUM
        try:
            fcntl.ioctl(self.fd, TUNSETVNETHDRSZ, _INT.pack(size))
            fcntl.ioctl(self.fd, TUNSETOFFLOAD, offloads)
        except OSError as error:
            raise self._refused("set up", error) from error

    def close(self) -> None:
        """Detach from it. It may be called again."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
