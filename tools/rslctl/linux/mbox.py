# SPDX-License-Identifier: BSD-3-Clause
"""The links of the kernel module rsl_mbox: find them, kick, and wait for notifications."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from rslctl.errors import RslError, WaitTimeoutError, os_error
from rslctl.linux import bus
from rslctl.linux.host import Host
from rslctl.linux.uapi import (
    BINDING,
    INFO,
    IOC_BIND,
    IOC_INFO,
    IOC_MEMORY,
    IOC_STAT,
    MASK,
    VECTOR_STAT,
    WINDOW,
)

SUBSYSTEM = "rsl_mbox"

CLASS = f"/sys/class/{SUBSYSTEM}"

_BRING_BACK = "bring it back: rslctl setup"


class Counters:
    """The kernel's counters of one vector, since the device was created."""

    NAMES = ("kicks", "kicks_coalesced", "notifications")

    def __init__(self, kicks: int, kicks_coalesced: int, notifications: int) -> None:
        """*kicks_coalesced* counts the *kicks* that coalesced with an earlier, pending kick."""
        self.kicks = kicks
        self.kicks_coalesced = kicks_coalesced
        self.notifications = notifications


class Last:
    """The last notification of a vector."""

    def __init__(self, count: int, time: int) -> None:
        """*count* is the number of notifications since the device was created. *time* is
        CLOCK_MONOTONIC in nanoseconds, read in the interrupt; 0 before the first notification.
        """
        self.count = count
        self.time = time


class LinkDevice:
    """A link as sysfs shows it."""

    def __init__(
        self,
        *,
        name: str,
        device: str,
        transport: str,
        vectors: int,
        memory_base: int | None,
        memory_size: int,
        open_files: int,
        stalled_ms: int | None,
    ) -> None:
        #: The name from the device tree, the same as in the board profile.
        self.name = name
        #: The kernel's name of the device, for example "rsl_mbox0".
        self.device = device
        self.transport = transport
        self.vectors = vectors
        #: Physical address and size in bytes of the shared memory; the size is 0 without memory.
        #: sysfs tells the address to root only. It is None for others: see :func:`memory_base`.
        self.memory_base = memory_base
        self.memory_size = memory_size
        #: How many times the character device is open.
        self.open_files = open_files
        #: Milliseconds since the oldest kick that the remote has not taken; 0 if there is none,
        #: None if the transport cannot tell.
        self.stalled_ms = stalled_ms

    @property
    def node(self) -> str:
        """The path of the character device."""
        return f"/dev/{self.device}"

    def vector(self, vector: int) -> int:
        """Return the mask with the bit of one vector.

        Raises:
            RslError: the link does not have this vector.
        """
        if not 0 <= vector < self.vectors:
            last = self.vectors - 1
            has = "its vectors are 0 to " + str(last) if last else "its only vector is 0"
            raise RslError(f"link {self.name!r} has no vector {vector}", hint=has)
        return 1 << vector


def find(host: Host) -> list[LinkDevice]:
    """Return the links that are up, by device number."""
    names = sorted(host.names(CLASS), key=lambda name: (len(name), name))
    return [_read(host, name) for name in names]


def _read(host: Host, device: str) -> LinkDevice:
    def attribute(name: str) -> str:
        return host.read_text(f"{CLASS}/{device}/{name}")

    return LinkDevice(
        name=attribute("label"),
        device=device,
        transport=attribute("transport"),
        vectors=int(attribute("vectors")),
        memory_base=_base(host, device),
        memory_size=int(attribute("memory_size"), 16),
        open_files=int(attribute("open_files")),
        stalled_ms=int(attribute("stalled_ms"))
        if host.exists(f"{CLASS}/{device}/stalled_ms")
        else None,
    )


def _base(host: Host, device: str) -> int | None:
    """The physical address of the shared memory, if this user may know it."""
    name = f"{CLASS}/{device}/memory_base"
    if not host.may(name, os.R_OK):
        return None
    return int(host.read_text(name), 16)


def at(host: Host, node: str) -> LinkDevice | None:
    """Return the link of a device tree node or of a PCI address; None if it has no link."""
    return next(
        (link for link in find(host) if bus.is_at(host, f"{CLASS}/{link.device}/device", node)),
        None,
    )


def set_name(host: Host, link: LinkDevice, name: str) -> None:
    """Give a link that no device tree names another name.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{CLASS}/{link.device}/label", name)


def pick(host: Host, name: str | None) -> LinkDevice:
    """Return the link called *name*, or the only link if *name* is None.

    Raises:
        RslError: no such link is up, or *name* is None and several links are up.
    """
    links = find(host)
    if not links:
        raise RslError(
            f"no link is up: '{host.where(CLASS)}' has no device",
            hint="bring it up with: rslctl setup --board NAME",
        )
    known = ", ".join(link.name for link in links)
    if name is not None:
        links = [link for link in links if link.name == name]
        if not links:
            raise RslError(f"no link {name!r} is up", hint=f"links that are up: {known}")
    if len(links) > 1:
        raise RslError(f"more than one link is up: {known}", hint="name one with --link")
    return links[0]


def memory_base(host: Host, link: LinkDevice) -> int:
    """Return the physical address of the shared memory of a link.

    The device tells it to who can open it, if sysfs does not.

    Raises:
        RslError: the device cannot be opened.
    """
    if link.memory_base is not None:
        return link.memory_base
    with Mailbox(host, link) as mailbox:
        return mailbox.memory_base()


def counters(host: Host, link: LinkDevice) -> list[Counters]:
    """Return the counters of each vector, by vector number."""

    def count(vector: int, name: str) -> int:
        return int(host.read_text(f"{CLASS}/{link.device}/vector{vector}/{name}"))

    return [Counters(*(count(n, name) for name in Counters.NAMES)) for n in range(link.vectors)]


def storms(host: Host, link: LinkDevice) -> list[tuple[int, bool]]:
    """Return by vector number how often the kernel masked it for a storm, and whether it is now."""
    found = []
    for vector in range(link.vectors):
        directory = f"{CLASS}/{link.device}/vector{vector}"
        words = host.read_text(f"{directory}/masked").split()
        found.append((int(host.read_text(f"{directory}/storms")), "storm" in words))
    return found


def duration(milliseconds: int) -> str:
    """Return a time for people, as "1500 ms" or "2 h 3 min"."""
    seconds = milliseconds // 1000
    if seconds < 10:
        return f"{milliseconds} ms"
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def place(host: Host, link: LinkDevice, base: int, data: bytes) -> None:
    """Write *data* to the physical address *base* in the shared memory of a link.

    Raises:
        RslError: the range is not in the shared memory, or the memory cannot be mapped.
    """
    from periphery import MMIO, MMIOError  # slow to load, and seldom needed

    first = memory_base(host, link)
    offset = base - first
    if offset < 0 or offset + len(data) > link.memory_size:
        raise RslError(
            f"link {link.name!r} has shared memory at {first:#x}, "
            f"{link.memory_size:#x} bytes: {base:#x} is not in it",
            hint="is the board's profile the one that it was booted with?",
        )
    try:
        memory = MMIO(offset, len(data), path=link.node)
        memory.write(0, data)
        memory.close()
    except MMIOError as error:
        raise RslError(f"cannot write to '{link.node}': {error}", hint="run it as root") from error


class GoneError(RslError):
    """The device of a link does not exist any more."""


class Mailbox:
    """An open link device; usable in ``with`` and in ``select``.

    It receives the notifications from its opening on.
    """

    def __init__(self, host: Host, link: LinkDevice, *, flags: int = os.O_RDWR) -> None:
        """Open the device of *link*.

        Raises:
            GoneError: the device does not exist.
            RslError: the device cannot be opened.
        """
        self.link = link
        path = host.where(link.node)
        try:
            self._fd = host.open(link.node, flags | os.O_NONBLOCK)
        except OSError as error:
            hint = ""
            if isinstance(error, FileNotFoundError):
                raise GoneError(
                    f"cannot open '{path}': No such file or directory",
                    hint="rslctl doctor says whether the link is",
                ) from error
            if isinstance(error, PermissionError):
                hint = "run it as root, or give yourself the device: rslctl setup --owner USER"
            raise self._gone(error, f"open '{path}'", hint) from error

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def fileno(self) -> int:
        return self._fd

    def detach(self) -> int:
        """Return the descriptor and give it up: from now on the caller has to close it."""
        fd, self._fd = self._fd, -1
        return fd

    def _gone(self, error: OSError, action: str, hint: str = "") -> RslError:
        """Make the error to raise for *error* of the device, which may be gone."""
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return GoneError(f"link {self.link.name!r} went away", hint=_BRING_BACK)
        return os_error(action, error, hint=hint)

    def check(self) -> None:
        """Check that the device still belongs to the link, and not to a later one.

        Raises:
            GoneError: the link is gone, or the device belongs to another link now.
        """
        label = self._info()[1]
        if label.rstrip(b"\0").decode(errors="replace") != self.link.name:
            raise GoneError(f"link {self.link.name!r} went away", hint=_BRING_BACK)

    def memory_base(self) -> int:
        """Return the physical address of the shared memory.

        Raises:
            GoneError: the device is gone.
        """
        return self._info()[0]

    def _info(self) -> tuple[int, bytes]:
        """The physical address of the shared memory, and the link's name with its padding."""
        try:
            answer = fcntl.ioctl(self._fd, IOC_INFO, bytes(INFO.size))
        except OSError as error:
            raise self._gone(error, f"ask the name of '{self.link.node}'") from error
        _, base, _, _, _, label, *_ = INFO.unpack(answer)
        return base, label

    def kick(self, mask: int) -> None:
        """Kick the vectors in *mask*.

        Raises:
            GoneError: the device is gone.
            RslError: the kernel refuses.
        """
        try:
            os.write(self._fd, MASK.pack(mask))
        except OSError as error:
            raise self._gone(error, f"write to '{self.link.node}'") from error

    def read(self) -> int:
        """Return the mask of the vectors notified since the last call; 0 if there are none.

        Raises:
            GoneError: the device is gone.
        """
        try:
            mask: int = MASK.unpack(os.read(self._fd, MASK.size))[0]
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._gone(error, f"read from '{self.link.node}'") from error
        return mask

    def last(self, vector: int) -> Last:
        """Return the last notification of *vector*.

        Raises:
            GoneError: the device is gone.
        """
        asked = VECTOR_STAT.pack(vector, *[0] * 8)
        try:
            answer = fcntl.ioctl(self._fd, IOC_STAT, asked)
        except OSError as error:
            raise self._gone(error, f"read counters of '{self.link.node}'") from error
        _, _, _, _, count, time_of, *_ = VECTOR_STAT.unpack(answer)
        return Last(count, time_of)

    def bind(self, vector: int, direction: int, eventfd: int) -> None:
        """Bind *eventfd* to *vector* in the kernel, until its last descriptor is closed.

        *direction* is :data:`uapi.NOTIFY` or :data:`uapi.KICK`. Other eventfds that are bound
        there stay bound.

        Raises:
            GoneError: the device is gone.
            RslError: the kernel refuses.
        """
        try:
            fcntl.ioctl(self._fd, IOC_BIND, BINDING.pack(vector, direction, eventfd, 0))
        except OSError as error:
            raise self._gone(
                error, f"bind an eventfd to vector {vector} of '{self.link.node}'"
            ) from error

    def memory(self) -> int:
        """Return a new descriptor of the shared memory alone, which the caller has to close.

        Who has it can map the memory. They can neither kick nor bind eventfds.

        Raises:
            GoneError: the device is gone.
            RslError: the kernel refuses.
        """
        window = bytearray(WINDOW.pack(0, 0, 0, 0, 0))
        try:
            descriptor: int = fcntl.ioctl(self._fd, IOC_MEMORY, window)
        except OSError as error:
            raise self._gone(error, f"open the shared memory of '{self.link.node}'") from error
        return descriptor

    def wait(self, mask: int, timeout: float | None) -> int:
        """Wait until a vector in *mask* is notified; return the mask of the notified vectors.

        *timeout* is in seconds; None waits forever.

        Raises:
            WaitTimeoutError: no notification came in time.
            GoneError: the device is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            # poll(2) has an int of milliseconds as its timeout.
            ready = poll.poll(None if left is None else min(left, 3600) * 1000)
            notified = self.read() & mask if ready else 0
            if notified:
                return notified
            if left == 0:
                raise WaitTimeoutError(
                    f"no notification on link {self.link.name!r} in {timeout:g} s"
                )


def vectors_of(mask: int) -> list[int]:
    """Return the numbers of the vectors in a mask, ascending."""
    return [n for n in range(mask.bit_length()) if mask >> n & 1]
