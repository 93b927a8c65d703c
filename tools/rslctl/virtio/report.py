# SPDX-License-Identifier: BSD-3-Clause
"""What the registers do not tell of a device that runs, told in its header for :mod:`.headers`.

The daemon writes it and never reads it. It is in the header because no other memory is the
daemon's: existing firmware of version 1 has rings and buffers from 4 KiB on. The form is that of
docs/reference/virtio.md.
"""

from __future__ import annotations

import enum

from rslctl.virtio.registers import HEADER_SIZE, Register

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from rslctl.virtio.engine import Queue

MAGIC = int.from_bytes(b"rslq", "little")
#: The most queues that are told of.
QUEUES = 8


class Word(enum.IntEnum):
    """The words of 32 bits of a report; from QUEUE on three for each queue."""

    MAGIC = 0
    #: 1: it serves the queues. 2: it went away, and is waited for.
    BACK_END = 1
    #: Features of 64 bits, the low word first.
    OFFERED = 2
    TAKEN = 4
    COUNT = 6
    #: The size, the index << 16 and the vector << 24; the offsets of the available and used ring.
    QUEUE = 8


_SERVES, AWAY = 1, 2
QUEUE_WORDS = 3


class Report:
    """The report of one device; there is none while the device does not run."""

    def __init__(self, memory: mmap.mmap, header: int, base: int) -> None:
        """For the device whose header is at the offset *header* of a *memory*.

        *base* is the address that the remote has the memory at.
        """
        self._base = base
        self._whole = memoryview(memory)
        self._part = self._whole[header + Register.REPORT : header + HEADER_SIZE]
        self._words = self._part.cast("I")

    def running(
        self, offered: int, taken: int, queues: Sequence[tuple[Queue, int]], *, away: bool
    ) -> None:
        """The back-end serves *queues*, each with its vector, or is *away*."""
        words = self._words
        for at, features in ((Word.OFFERED, offered), (Word.TAKEN, taken)):
            words[at], words[at + 1] = features & 0xFFFF_FFFF, features >> 32
        for number, (queue, vector) in enumerate(queues[:QUEUES]):
            first = Word.QUEUE + number * QUEUE_WORDS
            words[first] = queue.size | queue.index << 16 | vector << 24
            words[first + 1] = self._offset(queue.avail)
            words[first + 2] = self._offset(queue.used)
        words[Word.COUNT] = min(len(queues), QUEUES)
        self.away(away=away)
        words[Word.MAGIC] = MAGIC

    def _offset(self, address: int) -> int:
        """The offset of a ring; 1, where none can be, if it has more than 32 bits."""
        offset = address - self._base
        return offset if offset < 1 << 32 else 1

    def away(self, *, away: bool) -> None:
        """The back-end went away, or is back."""
        self._words[Word.BACK_END] = AWAY if away else _SERVES

    def stopped(self) -> None:
        """Nobody serves the device's queues."""
        self._words[Word.MAGIC] = 0

    def close(self) -> None:
        """Give back the views of the memory, so that it can be unmapped."""
        for view in (self._words, self._part, self._whole):
            view.release()
