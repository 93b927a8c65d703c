# SPDX-License-Identifier: BSD-3-Clause
"""The device's side of a split virtqueue: virtio 1.2, section 2.7.

For the back-ends that are built in. They offer neither VIRTIO_F_INDIRECT_DESC nor
VIRTIO_F_EVENT_IDX, and want to be notified of each buffer.

The driver may write at any moment, and anything. So each of its words is read once, and the copy
is checked; what is handed on is inside of the shared memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rslctl.virtio.engine import Queue
from rslctl.virtio.memory import Memory, OutsideError

#: struct virtq_desc: addr, len, flags, next.
_DESC = struct.Struct("<QIHH")
_DESC_F_NEXT = 1
_DESC_F_WRITE = 2
_DESC_F_INDIRECT = 4

#: struct virtq_used_elem: id, len.
_USED = struct.Struct("<II")

#: The offsets of idx and ring in struct virtq_avail and struct virtq_used; flags is at 0.
_IDX = 2
_RING = 4
_AVAIL_F_NO_INTERRUPT = 1

#: The driver must not add a chain of more bytes: section 2.7.5.2.
_CHAIN_MAX = 2**32


class RingError(Exception):
    """The driver did what no driver may do. The queue is of no use until the device is reset."""


@dataclass(frozen=True)
class Chain:
    """A chain of descriptors that the driver made available.

    Its buffers are (address, length), and all of them are in the shared memory.
    """

    head: int
    #: What the driver has written for the device.
    readable: list[tuple[int, int]]
    #: Where the device may write.
    writable: list[tuple[int, int]]

    @property
    def length(self) -> int:
        """The number of bytes to read."""
        return sum(length for _, length in self.readable)

    @property
    def room(self) -> int:
        """The number of bytes that may be written."""
        return sum(length for _, length in self.writable)


class Ring:
    """A split virtqueue as its device sees it, from the reset of the device on."""

    def __init__(self, memory: Memory, queue: Queue, barrier: Callable[[], None]) -> None:
        """For *queue*, whose three areas are known to be in *memory* and aligned.

        *barrier* orders all accesses before it with all accesses after it, as the remote sees them.
        """
        self._memory = memory
        self._queue = queue
        self._barrier = barrier
        #: The next entry of the available ring to take, and the driver's idx as last seen.
        self._next = 0
        self._seen = 0
        #: The idx of the used ring.
        self._used = 0
        #: The number of chains that are taken and not given back.
        self._taken = 0

    def pop(self) -> Chain | None:
        """Take the next chain that the driver made available; None if there is none.

        Raises:
            RingError: the driver's idx or the chain is impossible. The chain is not taken.
        """
        if self._next == self._seen and not self._look():
            return None
        entry = self._queue.avail + _RING + 2 * (self._next % self._queue.size)
        chain = self._follow(self._memory.u16(entry))
        self._next = (self._next + 1) & 0xFFFF
        self._taken += 1
        return chain

    def _look(self) -> bool:
        """Read the driver's idx; return whether there is a new chain."""
        seen = self._memory.u16(self._queue.avail + _IDX)
        new = (seen - self._next) & 0xFFFF
        if new > self._queue.size - self._taken:
            raise RingError(
                f"queue {self._queue.index} of {self._queue.size}: the available index went from "
                f"{self._next} to {seen} with {self._taken} chains in use"
            )
        if new:
            self._barrier()  # the entries of the ring are read after its idx
            self._seen = seen
        return new > 0

    def _follow(self, head: int) -> Chain:
        """The chain that begins at the descriptor *head*."""
        chain = Chain(head, [], [])
        for address, length, writable in self._buffers(head):
            try:
                self._memory.check(address, length)
            except OutsideError as error:
                raise self._wrong(head, str(error)) from error
            if chain.writable and not writable:
                raise self._wrong(head, "a buffer to read comes after one to write")
            (chain.writable if writable else chain.readable).append((address, length))
        if chain.length + chain.room > _CHAIN_MAX:
            raise self._wrong(head, "it is longer than 2^32 bytes")
        return chain

    def _buffers(self, head: int) -> Iterator[tuple[int, int, bool]]:
        """Yield address, length, and whether it is to be written, of each buffer of a chain."""
        index = head
        for _ in range(self._queue.size):
            if index >= self._queue.size:
                raise self._wrong(head, f"there is no descriptor {index}")
            data = self._memory.read(self._queue.desc + _DESC.size * index, _DESC.size)
            address, length, flags, following = _DESC.unpack(data)
            if flags & _DESC_F_INDIRECT:
                raise self._wrong(head, "it is indirect, which was not offered")
            yield address, length, bool(flags & _DESC_F_WRITE)
            if not flags & _DESC_F_NEXT:
                return
            index = following
        raise self._wrong(head, "it is a loop")

    def _wrong(self, head: int, reason: str) -> RingError:
        queue = self._queue
        return RingError(f"queue {queue.index} of {queue.size}: chain {head}: {reason}")

    def gather(self, chain: Chain, offset: int, limit: int) -> bytes:
        """At most *limit* of the bytes to read, from *offset* on."""
        parts = []
        for address, length in chain.readable:
            size = max(0, min(length - offset, limit))
            if size:
                parts.append(self._memory.read(address + offset, size))
            limit -= size
            offset = max(0, offset - length)
        return b"".join(parts)

    def scatter(self, chain: Chain, data: bytes) -> None:
        """Write *data*, of at most :attr:`Chain.room` bytes, into the buffers to write."""
        for address, length in chain.writable:
            self._memory.write(address, data[:length])
            data = data[length:]

    def push(self, chain: Chain, written: int) -> None:
        """Give *chain* back to the driver, with *written* bytes at its beginning."""
        entry = self._queue.used + _RING + _USED.size * (self._used % self._queue.size)
        self._memory.write(entry, _USED.pack(chain.head, written))
        self._barrier()  # the driver that sees the idx sees the entry and the bytes
        self._used = (self._used + 1) & 0xFFFF
        self._memory.set_u16(self._queue.used + _IDX, self._used)
        self._taken -= 1

    def wants_kick(self) -> bool:
        """Return whether the driver wants to be told of the chains that it was given back.

        A driver enables its interrupts and then looks at the used ring again (section 2.7.7.1), so
        the question is asked after the used ring is written.
        """
        self._barrier()
        return not self._memory.u16(self._queue.avail) & _AVAIL_F_NO_INTERRUPT
