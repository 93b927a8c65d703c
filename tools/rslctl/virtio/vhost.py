# SPDX-License-Identifier: BSD-3-Clause
"""The back-ends of the kernel: vhost-vsock, and vhost-net on a tap.

What is done is what hw/virtio/vhost.c of QEMU does. Structures and numbers are those of
include/uapi/linux/vhost.h and vhost_types.h of Linux.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
from abc import ABC, abstractmethod

from rslctl.errors import os_error
from rslctl.linux.host import Host
from rslctl.virtio.backend import RINGS, VERSION_1, BackendError, Event, What
from rslctl.virtio.tap import FEATURES, MRG_RXBUF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rslctl.virtio.backend import Window, Wired
    from rslctl.virtio.tap import Tap

VSOCK = "/dev/vhost-vsock"
NET = "/dev/vhost-net"

#: struct vhost_memory with one struct vhost_memory_region: nregions, padding; guest_phys_addr,
#: memory_size, userspace_addr, flags_padding.
MEMORY = struct.Struct("=2I4Q")
#: struct vhost_vring_state: index, num.
STATE = struct.Struct("=2I")
#: struct vhost_vring_addr: index, flags, desc_user_addr, used_user_addr, avail_user_addr,
#: log_guest_addr.
ADDRESS = struct.Struct("=2I4Q")
#: struct vhost_vring_file: index, fd.
FILE = struct.Struct("=Ii")
U64 = struct.Struct("=Q")
INT = struct.Struct("=i")

# The encoding of ioctl numbers: include/uapi/asm-generic/ioctl.h of Linux.
_IOC_WRITE = 1
_IOC_READ = 2
_MAGIC = 0xAF


def _ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _MAGIC << 8 | number


GET_FEATURES = _ioc(_IOC_READ, 0x00, U64.size)
SET_FEATURES = _ioc(_IOC_WRITE, 0x00, U64.size)
SET_OWNER = _ioc(0, 0x01, 0)
SET_MEM_TABLE = _ioc(_IOC_WRITE, 0x03, 8)  # struct vhost_memory without its regions
SET_VRING_NUM = _ioc(_IOC_WRITE, 0x10, STATE.size)
SET_VRING_ADDR = _ioc(_IOC_WRITE, 0x11, ADDRESS.size)
SET_VRING_BASE = _ioc(_IOC_WRITE, 0x12, STATE.size)
SET_VRING_KICK = _ioc(_IOC_WRITE, 0x20, FILE.size)
SET_VRING_CALL = _ioc(_IOC_WRITE, 0x21, FILE.size)
SET_VRING_ERR = _ioc(_IOC_WRITE, 0x22, FILE.size)
NET_SET_BACKEND = _ioc(_IOC_WRITE, 0x30, FILE.size)
VSOCK_SET_GUEST_CID = _ioc(_IOC_WRITE, 0x60, U64.size)
VSOCK_SET_RUNNING = _ioc(_IOC_WRITE, 0x61, INT.size)

#: Of a struct vhost_vring_file: no descriptor.
_NONE = -1

#: How many queues each of the two serves: one for each direction.
_QUEUES = 2

_VSOCK_F_SEQPACKET = 1 << 1
_NET_F_MAC = 1 << 5

_ZEROCOPY = "/sys/module/vhost_net/parameters/experimental_zcopytx"


class _Vhost(ABC):
    """A device of the kernel that serves queues."""

    device_id: int
    #: Which of the kernel's features are for a driver.
    known: int
    away = False
    waits = False

    def __init__(
        self, host: Host, node: str, window: Window, size: int, descriptor: int | None
    ) -> None:
        self._node = node
        self._window = window
        self.queues = (size,) * _QUEUES
        #: The queues that the kernel was told of, and may touch.
        self._told: tuple[int, ...] = ()
        self._opened = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self._opened.close)
            if descriptor is None:
                descriptor = _open(host, node)
                self._opened.callback(os.close, descriptor)
            self._fd = descriptor
            #: Signalled by the kernel for a queue that it cannot go on with, by queue.
            self._errors = [self._eventfd() for _ in self.queues]
            self._control(SET_OWNER, b"", "own")
            (features,) = U64.unpack(self._control(GET_FEATURES, bytes(U64.size), "ask"))
            self._features = int(features)
            undo.pop_all()

    def _eventfd(self) -> int:
        try:
            made = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise os_error("make an eventfd", error) from error
        self._opened.callback(os.close, made)
        return made

    def offered(self) -> int:
        """What the kernel offers, and this back-end has for it."""
        return self._features & (RINGS | self.known)

    @abstractmethod
    def config(self) -> bytes:
        """The configuration of the device."""

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        """Have the kernel serve both queues.

        Raises:
            BackendError: the driver has not set up both, or the kernel refuses.
        """
        missing = {*range(_QUEUES)} - {each.queue.index for each in queues}
        if missing:
            raise BackendError(
                f"the driver has not set up queue {min(missing)}, which '{self._node}' needs"
            )
        try:
            self._told = tuple(each.queue.index for each in queues)
            self._control(SET_FEATURES, U64.pack(self._taken(features)), "set the features of")
            seen = self._window.seen
            memory = MEMORY.pack(1, 0, seen.base, seen.size, self._window.address, 0)
            self._control(SET_MEM_TABLE, memory, "give memory to")
            for each in queues:
                self._start_queue(each)
            self._run(features)
        except BaseException:
            self.stop()
            raise

    def _start_queue(self, wired: Wired) -> None:
        queue = wired.queue
        what = f"set up queue {queue.index} of"
        window = self._window
        window.clear_used(queue)
        parts = (
            window.here(queue.desc, 16 * queue.size),
            window.here(queue.used, 6 + 8 * queue.size),
            window.here(queue.avail, 6 + 2 * queue.size),
        )
        self._control(SET_VRING_NUM, STATE.pack(queue.index, queue.size), what)
        self._control(SET_VRING_BASE, STATE.pack(queue.index, 0), what)
        self._control(SET_VRING_ADDR, ADDRESS.pack(queue.index, 0, *parts, 0), what)
        error = self._errors[queue.index]
        files = {SET_VRING_CALL: wired.call, SET_VRING_ERR: error, SET_VRING_KICK: wired.kick}
        for request, fd in files.items():
            self._control(request, FILE.pack(queue.index, fd), what)

    def stop(self) -> None:
        """Have the kernel leave the queues."""
        told, self._told = self._told, ()
        if not told:
            return
        self._halt(told)
        for index in told:
            for request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR):
                # Of no use if it fails: the descriptor is a wrong one then.
                with contextlib.suppress(BackendError):
                    self._control(request, FILE.pack(index, _NONE), "take a queue back from")

    def watch(self) -> dict[int, int]:
        """What the kernel signals errors by."""
        return dict.fromkeys(self._errors, select.EPOLLIN)

    def ready(self, fd: int, events: int) -> Event | None:
        """See that the kernel cannot go on with a queue."""
        if fd not in self._errors:
            return None
        try:
            os.eventfd_read(fd)
        except BlockingIOError:
            return None
        queue = self._errors.index(fd)
        return Event(
            What.FAILED,
            f"'{self._node}' cannot go on with queue {queue}: the driver has put something there "
            "that is wrong",
        )

    def close(self) -> None:
        """Stop, and close what this back-end opened."""
        self.stop()
        self._opened.close()

    def _taken(self, features: int) -> int:
        """The features that the kernel is told of."""
        return (features | VERSION_1) & self._features

    @abstractmethod
    def _run(self, features: int) -> None:
        """Have the kernel begin."""

    @abstractmethod
    def _halt(self, queues: Sequence[int]) -> None:
        """Have the kernel end. It touches no queue any more then. Raises nothing."""

    def _control(self, request: int, data: bytes, action: str) -> bytes:
        try:
            return fcntl.ioctl(self._fd, request, data)
        except OSError as error:
            hint = ""
            if request == SET_OWNER and error.errno == errno.EBUSY:
                hint = "another process owns this descriptor: give it one of its own"
            raise BackendError(
                str(os_error(f"{action} '{self._node}'", error)), hint=hint
            ) from error


def _open(host: Host, node: str) -> int:
    name = os.path.basename(node)
    try:
        return host.open(node, os.O_RDWR)
    except OSError as error:
        hint = f"load the module: modprobe {name.replace('-', '_')}"
        if isinstance(error, PermissionError):
            hint = f"run it as root, or give it the descriptor: rslctl run --open {node}:{name} ..."
        raise BackendError(str(os_error(f"open '{host.where(node)}'", error)), hint=hint) from error


class VhostVsock(_Vhost):
    """vhost-vsock of the kernel: connections of AF_VSOCK to a CID."""

    device_id = 19
    known = _VSOCK_F_SEQPACKET

    def __init__(
        self,
        cid: int,
        window: Window,
        size: int = 128,
        *,
        descriptor: int | None = None,
        host: Host | None = None,
    ) -> None:
        """Take *cid*, from 3 to 2^32 - 2, for the remote.

        *size* is the largest of a queue. *descriptor* is an open one of /dev/vhost-vsock, which
        stays the caller's.

        Raises:
            BackendError: the kernel has no vhost-vsock, this process may not use it, or the CID is
                another's.
        """
        self.cid = cid
        super().__init__(host or Host(), VSOCK, window, size, descriptor)
        try:
            fcntl.ioctl(self._fd, VSOCK_SET_GUEST_CID, U64.pack(cid))
        except OSError as error:
            self.close()
            hint = ""
            if error.errno == errno.EADDRINUSE:
                hint = "another daemon or a virtual machine has it: choose another"
            raise BackendError(str(os_error(f"take CID {cid}", error)), hint=hint) from error

    def config(self) -> bytes:
        """struct virtio_vsock_config: guest_cid."""
        return self.cid.to_bytes(8, "little")

    def _run(self, features: int) -> None:
        self._control(VSOCK_SET_RUNNING, INT.pack(1), "start")

    def _halt(self, queues: Sequence[int]) -> None:
        with contextlib.suppress(BackendError):  # it was not started
            self._control(VSOCK_SET_RUNNING, INT.pack(0), "stop")


class VhostNet(_Vhost):
    """vhost-net of the kernel on a tap."""

    device_id = 1
    known = MRG_RXBUF

    def __init__(
        self,
        tap: Tap,
        window: Window,
        size: int = 256,
        *,
        mac: bytes | None = None,
        descriptor: int | None = None,
        host: Host | None = None,
    ) -> None:
        """Serve *tap*, which is closed with this back-end.

        *mac* is the address of the remote's side, of 6 bytes; without it the driver chooses. *size*
        is the largest of a queue. *descriptor* is an open one of /dev/vhost-net, which stays the
        caller's.

        Raises:
            BackendError: the kernel has no vhost-net, or one that cannot serve this memory, or this
                process may not use it. *tap* is closed.
        """
        self._tap = tap
        self._mac = mac or b""
        self._gone = False
        host = host or Host()
        try:
            super().__init__(host, NET, window, size, descriptor)
        except BaseException:
            tap.close()
            raise
        self._opened.callback(tap.close)
        if host.exists(_ZEROCOPY) and host.read_text(_ZEROCOPY).strip() != "0":
            self.close()
            raise BackendError(
                "vhost_net has experimental_zcopytx: with a link's memory, which has no pages, "
                "frames would vanish",
                hint="load it without: modprobe -r vhost_net && modprobe vhost_net "
                "experimental_zcopytx=0",
            )

    def offered(self) -> int:
        """What vhost-net and the tap can do, and the address, if there is one."""
        return super().offered() | FEATURES | (_NET_F_MAC if self._mac else 0)

    def config(self) -> bytes:
        """The first of struct virtio_net_config: mac."""
        return self._mac

    def watch(self) -> dict[int, int]:
        """Also the end of the tap."""
        return super().watch() if self._gone else {**super().watch(), self._tap.fd: 0}

    def ready(self, fd: int, events: int) -> Event | None:
        """See that the kernel cannot go on with a queue, or that the tap was deleted."""
        if fd != self._tap.fd:
            return super().ready(fd, events)
        self._gone = True
        return Event(What.FAILED, f"tap '{self._tap.name}' was deleted")

    def _taken(self, features: int) -> int:
        # Without VERSION_1 and MRG_RXBUF the header is shorter, so vhost-net is told what is so.
        return features & self._features

    def _run(self, features: int) -> None:
        if self._gone:
            self._tap.attach()
            self._gone = False
        self._tap.prepare(features)
        for index in self._told:
            self._control(NET_SET_BACKEND, FILE.pack(index, self._tap.fd), "start")

    def _halt(self, queues: Sequence[int]) -> None:
        for index in queues:
            with contextlib.suppress(BackendError):  # it was not started
                self._control(NET_SET_BACKEND, FILE.pack(index, _NONE), "stop")
