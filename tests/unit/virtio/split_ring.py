# SPDX-License-Identifier: BSD-3-Clause
"""A driver of split virtqueues, played on plain memory."""

from __future__ import annotations

import mmap
import os
import select
import struct
import time
from collections.abc import Callable, Sequence

from rslctl.virtio.backend import Backend, Event, Wired
from rslctl.virtio.engine import Queue
from rslctl.virtio.memory import Memory

BASE = 0x70000000
NEXT, WRITE, INDIRECT = 1, 2, 4

#: Seconds that anything may take.
LIMIT = 30.0


class Driver:
    """One queue: drivers/virtio/virtio_ring.c of Linux, virtqueue_add_split() and
    virtqueue_get_buf_ctx_split().

    As there, descriptors come from a list of free ones, to whose front they go back, and a used
    element that names no chain in use is a bad ring. What it leaves out: indirect tables, event
    indices, barriers, which one thread does not need, and the mapping of buffers: they are given
    by address.
    """

    def __init__(self, memory: Memory, size: int, at: int = BASE, index: int = 0) -> None:
        """A queue of *size* in the zeroed memory from *at* on, index *index* of its device."""
        self.memory = memory
        avail = at + 16 * size
        used = (avail + 6 + 2 * size + 3) & ~3
        self.queue = Queue(index=index, size=size, desc=at, avail=avail, used=used)
        self.end = used + 6 + 8 * size
        self._free = 0
        self.num_free = size
        self._following = [*range(1, size), 0]
        self._lengths: dict[int, int] = {}
        self._next = 0
        self.last_used = 0

    def describe(self, index: int, address: int, length: int, flags: int, following: int) -> None:
        """Write a descriptor."""
        data = struct.pack("<QIHH", address, length, flags, following)
        self.memory.write(self.queue.desc + 16 * index, data)

    def offer(self, head: int) -> None:
        """Make a chain available."""
        entry = self.queue.avail + 4 + 2 * (self._next % self.queue.size)
        self.memory.set_u16(entry, head)
        self._next = (self._next + 1) & 0xFFFF
        self.memory.set_u16(self.queue.avail + 2, self._next)

    def add(self, readable: Sequence[tuple[int, int]], writable: Sequence[tuple[int, int]]) -> int:
        """Add a chain of buffers, each (address, length); return its head."""
        buffers = [(each, 0) for each in readable] + [(each, WRITE) for each in writable]
        assert 0 < len(buffers) <= self.num_free
        head = index = self._free
        for number, ((address, length), flags) in enumerate(buffers, 1):
            more = NEXT if number < len(buffers) else 0
            self.describe(index, address, length, flags | more, self._following[index])
            last, index = index, self._following[index]
        self._lengths[head] = len(buffers)
        self.num_free -= len(buffers)
        self._free = index
        self._following[last] = -1
        self.offer(head)
        return head

    def get(self) -> tuple[int, int] | None:
        """The head and the written bytes of the next chain that came back."""
        if self.memory.u16(self.queue.used + 2) == self.last_used:
            return None
        entry = self.queue.used + 4 + 8 * (self.last_used % self.queue.size)
        head, written = struct.unpack("<II", self.memory.read(entry, 8))
        assert head in self._lengths, "bad ring"
        index = head
        for _ in range(self._lengths.pop(head) - 1):
            index = self._following[index]
            self.num_free += 1
        self._following[index] = self._free
        self._free = head
        self.num_free += 1
        self.last_used = (self.last_used + 1) & 0xFFFF
        return head, written

    def suppress(self, flags: int) -> None:
        """Write the flags of the available ring: 1 wants no interrupts."""
        self.memory.set_u16(self.queue.avail, flags)


class Device:
    """A device of plain memory whose queues are *drivers*, and a loop for its back-end.

    The loop is that of rslctl.virtio.service, which asks for what to wait for after each event,
    and handles one event at a time.
    """

    def __init__(self, sizes: Sequence[int], memory: Memory | None = None) -> None:
        self.memory = memory or Memory(mmap.mmap(-1, 1 << 20), BASE)
        self.drivers: list[Driver] = []
        at = BASE
        for index, size in enumerate(sizes):
            self.drivers.append(Driver(self.memory, size, at, index))
            at = (self.drivers[-1].end + 15) & ~15
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self.wired = [
            Wired(each.queue, os.eventfd(0, flags), os.eventfd(0, flags)) for each in self.drivers
        ]
        self._buffer = BASE + (1 << 19)

    def buffer(self, content: bytes) -> tuple[int, int]:
        """A new buffer with *content*: its address and length."""
        address = self._buffer
        self._buffer += len(content)
        self.memory.write(address, content)
        return address, len(content)

    def restart(self) -> None:
        """What a driver does after a reset: it begins with queues of zeros."""
        for index, driver in enumerate(self.drivers):
            queue = driver.queue
            self.memory.write(queue.desc, bytes(driver.end - queue.desc))
            self.drivers[index] = Driver(self.memory, queue.size, queue.desc, index)

    def notify(self, index: int) -> None:
        """Notify the device of a queue."""
        os.eventfd_write(self.wired[index].kick, 1)

    def kicks(self, index: int) -> int:
        """How often the remote was kicked for a queue since the last call."""
        try:
            return os.eventfd_read(self.wired[index].call)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        for each in self.wired:
            os.close(each.kick)
            os.close(each.call)
        self.memory.close()


def turn(backend: Backend, timeout: float = 0) -> tuple[bool, Event | None]:
    """Handle one event of a back-end: whether there was one, and what came of it."""
    with select.epoll() as epoll:
        for fd, events in backend.watch().items():
            epoll.register(fd, events)
        for fd, events in epoll.poll(timeout, 1):
            return True, backend.ready(fd, events)
    return False, None


def settle(backend: Backend) -> Event | None:
    """Handle events until there is none, or until one says something."""
    deadline = time.monotonic() + LIMIT
    busy = True
    while busy:
        busy, event = turn(backend)
        if event is not None:
            return event
        assert time.monotonic() < deadline, "the back-end is never idle"
    return None


def until(backend: Backend, done: Callable[[], bool]) -> None:
    """Handle events until *done*."""
    deadline = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < deadline
        assert turn(backend, 0.01)[1] is None
