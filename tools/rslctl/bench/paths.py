# SPDX-License-Identifier: BSD-3-Clause
"""The paths that bench compares: how a process kicks the remote, and how it is woken."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import stat
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import ClassVar

from rslctl.errors import RslError, os_error
from rslctl.linux import bus, devices, mbox, modules, uapi, uio
from rslctl.linux.host import Host
from rslctl.setup import lock
from rslctl.setup.journal import Journal, UndoPlan
from rslctl.setup.steps import DriverBound, ModuleLoaded, Step

#: Enables the interrupt when it is written to a UIO device: an int, 1.
_ENABLE = struct.pack("=i", 1)
#: Signals an eventfd when it is written to it.
_ONE = struct.pack("=Q", 1)
#: The signals that end a process. Here it first gives the link back.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds to wait for a device, and for another rslctl to end.
_TIMEOUT = 5.0


class NotificationPath(ABC):
    """One path. Use it in ``with``."""

    #: The name for --path.
    name: ClassVar[str]
    #: Whether the path tells the time of an interrupt.
    stamps: ClassVar[bool] = True

    def __init__(self, host: Host, link: mbox.LinkDevice, vector: int) -> None:
        """A path for *vector*, which the link has."""
        self.host = host
        self.link = link
        self.vector = vector
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> NotificationPath:
        with contextlib.ExitStack() as stack:
            self.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abstractmethod
    def open(self, stack: contextlib.ExitStack) -> None:
        """Open what the path needs. *stack* closes it.

        Raises:
            RslError: this link does not have the path, or the kernel refuses.
        """

    @abstractmethod
    def kick(self) -> None:
        """Kick the vector."""

    @abstractmethod
    def wait(self) -> None:
        """Sleep until the vector is notified, and take the notification."""

    @abstractmethod
    def drain(self) -> None:
        """Take and forget the notifications that have come."""

    def stamp(self) -> mbox.Last:
        """The last notification; all 0 if :attr:`stamps` is false."""
        return mbox.Last(0, 0)

    @abstractmethod
    def ready(self) -> None:
        """Prepare for the next notification. This is not part of the measured time."""


class CharDevice(NotificationPath):
    """write(2) and read(2) of /dev/rsl_mboxN."""

    name = "chardev"

    def open(self, stack: contextlib.ExitStack) -> None:
        # The module counts a file that may write as a daemon's. This one only reads.
        self._mailbox = stack.enter_context(mbox.Mailbox(self.host, self.link))
        self._fd = self._mailbox.fileno()
        self._mask = uapi.MASK.pack(1 << self.vector)

    def kick(self) -> None:
        os.write(self._fd, self._mask)

    def wait(self) -> None:
        wanted = 1 << self.vector
        while not uapi.MASK.unpack(os.read(self._fd, 4))[0] & wanted:
            pass

    def drain(self) -> None:
        os.set_blocking(self._fd, False)
        self._mailbox.read()
        os.set_blocking(self._fd, True)

    def ready(self) -> None:
        pass

    def stamp(self) -> mbox.Last:
        return self._mailbox.last(self.vector)


class Eventfd(CharDevice):
    """Eventfds that are bound in the kernel module, one per direction."""

    name = "eventfd"

    def open(self, stack: contextlib.ExitStack) -> None:
        super().open(stack)
        # A binding lives as long as its eventfd.
        self._notified, self._kicked = (os.eventfd(0, os.EFD_CLOEXEC) for _ in range(2))
        for fd, direction in ((self._notified, uapi.NOTIFY), (self._kicked, uapi.KICK)):
            stack.callback(os.close, fd)
            self._mailbox.bind(self.vector, direction, fd)

    def kick(self) -> None:
        os.write(self._kicked, _ONE)

    def wait(self) -> None:
        os.read(self._notified, 8)  # eventfd_read() of Python 3.11 ends at a signal

    def drain(self) -> None:
        os.set_blocking(self._notified, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._notified, 8)
        os.set_blocking(self._notified, True)


class Sysfs(CharDevice):
    """A write to the sysfs attribute kick. The character device wakes, as sysfs cannot."""

    name = "sysfs"

    def open(self, stack: contextlib.ExitStack) -> None:
        super().open(stack)
        path = f"{mbox.CLASS}/{self.link.device}/kick"
        try:
            self._kick = self.host.open(path, os.O_WRONLY)
        except OSError as error:
            raise os_error(f"open '{self.host.where(path)}'", error) from error
        stack.callback(os.close, self._kick)
        self._text = str(self.vector).encode()

    def kick(self) -> None:
        os.pwrite(self._kick, self._text, 0)


class Uio(NotificationPath):
    """uio_pdrv_genirq on the same interrupt: a write to a mapped register, and read(2).

    The driver has the first interrupt of a device and its registers. It keeps the interrupt off
    until a process writes to it (drivers/uio/uio_pdrv_genirq.c of Linux), so a cycle needs one more
    system call. The kernel module does not have the link meanwhile.
    """

    name = "uio"
    stamps = False

    def open(self, stack: contextlib.ExitStack) -> None:
        node = bus.node_of(self.host, f"{mbox.CLASS}/{self.link.device}/device")
        offset, value = self._doorbell(node)
        device = bus.at(self.host, node)
        stack.enter_context(_given_to_uio(self.host, self.link, device))
        found = uio.of_device(self.host, device)
        if found is None:
            raise RslError(f"{uio.DRIVER} made no device of {node}")
        registers = f"/sys/class/uio/{found.device}/maps/map0"
        try:
            self._fd = self.host.open(found.path, os.O_RDWR)
            stack.callback(os.close, self._fd)
            memory = mmap.mmap(self._fd, found.maps[0].size)
        except OSError as error:
            raise os_error(f"open '{self.host.where(found.path)}'", error) from error
        offset += int(self.host.read_text(f"{registers}/offset"), 16)
        self._register = ctypes.c_uint32.from_buffer(memory, offset)
        stack.callback(self._forget)
        self._value = value

    def _doorbell(self, node: str) -> tuple[int, int]:
        """The offset of the register that kicks the remote, and the value to write."""
        cells = {}
        for name in ("rsl,kick-values", "rsl,kick-offset", "rsl,status-offset"):
            path = f"{mbox.CLASS}/{self.link.device}/device/of_node/{name}"
            data = self.host.read(path) if self.host.exists(path) else b""
            cells[name] = [
                int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)
            ]
        if not cells["rsl,kick-values"] or cells["rsl,status-offset"] or self.vector:
            raise RslError(
                f"vector {self.vector} of link {self.link.name!r} is nothing for UIO, which takes "
                f"the first interrupt of {node}, and no mailbox",
                hint="it is for vector 0 of a doorbell without a status register",
            )
        return (cells["rsl,kick-offset"] or [0])[0], cells["rsl,kick-values"][0]

    def _forget(self) -> None:
        # The mapping ends with its last reference.
        del self._register

    def kick(self) -> None:
        self._register.value = self._value

    def wait(self) -> None:
        os.read(self._fd, 4)

    def ready(self) -> None:
        os.write(self._fd, _ENABLE)

    def drain(self) -> None:
        self.ready()
        os.set_blocking(self._fd, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4)
            self.ready()
        os.set_blocking(self._fd, True)


#: The paths by name. UIO is measured on demand only.
PATHS: dict[str, type[NotificationPath]] = {
    each.name: each for each in (CharDevice, Eventfd, Sysfs, Uio)
}


def check_unused(host: Host, name: str, vectors: Iterable[int] | None = None) -> None:
    """Check that no process has a link open, or an eventfd bound to one of *vectors*.

    Raises:
        RslError: a process has, or the module is too old to tell.
    """
    link = mbox.pick(host, name)
    how = f"{link.node} is open" if link.open_files else ""
    for vector in range(link.vectors) if vectors is None else vectors:
        for direction in ("notify", "kick"):
            attribute = f"{mbox.CLASS}/{link.device}/vector{vector}/bound_{direction}"
            if not host.exists(attribute):
                raise RslError(
                    f"cannot tell who uses link {name!r}: there is no '{host.where(attribute)}'",
                    hint="load the module rsl_mbox that came with this rslctl",
                )
            if host.read_text(attribute) != "0":
                how = how or f"vector {vector} has eventfds"
    if how:
        raise RslError(
            f"link {name!r} is in use: {how}", hint="stop its daemon: bench wants it alone"
        )


def _ended(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _given_to_uio(host: Host, link: mbox.LinkDevice, device: str) -> Iterator[None]:
    """Bind a link's device to UIO, and to the module again afterwards.

    The link's journal has both changes meanwhile. So teardown undoes them if bench is killed.
    """
    names = modules.needed(host, uio.DRIVER)
    absent = [name for name in names if not modules.loaded(host, name)]
    driver = bus.driver_of(host, device) or ""
    override = bus.override(host, device)
    bound = {"device": device, "driver": uio.DRIVER, "before": driver, "override": override}
    node = host.stat(link.node)
    signals = {number: signal.signal(number, _ended) for number in _SIGNALS}
    try:
        with lock.locked(host, _TIMEOUT, lambda _: None), contextlib.ExitStack() as undoing:
            check_unused(host, link.name)
            journal = Journal.load(host, link.name)
            undoing.callback(_own, host, link, node)
            undoing.callback(_settle, journal, journal.complete, list(journal.entries))
            try:
                if absent:
                    _journaled(undoing, journal, ModuleLoaded, {"modules": absent})
                    modules.load(host, uio.DRIVER, hint="is it built for this kernel?")
                _journaled(undoing, journal, DriverBound, bound)
                bus.unbind(host, device, driver)
                bus.set_override(host, device, uio.DRIVER)
                bus.bind(host, device, uio.DRIVER)
                yield
            finally:
                # Finish the undoing, even if that takes a moment longer.
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
    finally:
        for number, before in signals.items():
            signal.signal(number, before)


def _journaled(
    undoing: contextlib.ExitStack, journal: Journal, step: type[Step], plan: UndoPlan
) -> None:
    """Write a step into the journal. At the end undo it, and take it out of the journal."""

    def undo() -> None:
        step.undo(journal.host, plan)
        journal.drop(step.name, plan)

    journal.add(step.name, plan)
    undoing.callback(undo)


def _settle(journal: Journal, complete: bool, entries: list[UndoPlan]) -> None:
    """Mark the journal as complete again, if it was complete and everything is undone."""
    if complete and journal.entries == entries:
        journal.finish()


def _own(host: Host, link: mbox.LinkDevice, before: os.stat_result | None) -> None:
    """Give the new device node the owner and the mode of the old one."""
    what = f"the device of link {link.name!r}"
    devices.wait(host, mbox.SUBSYSTEM, what, lambda: host.exists(link.node), _TIMEOUT)
    if before:
        host.own(link.node, before.st_uid, before.st_gid, stat.S_IMODE(before.st_mode))
