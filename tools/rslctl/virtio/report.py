# SPDX-License-Identifier: BSD-3-Clause
"""What a header cannot tell of a device that runs, told in the memory for :mod:`.headers`.

The daemon writes it and never reads it. The form is that of docs/reference/virtio.md.
"""

from __future__ import annotations

import enum

from rslctl.profile.virtio import REPORT_SIZE, REPORTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from rslctl.virtio.engine import Queue

MAGIC = int.from_bytes(b"rslq", "little")
#: The most queues that are told of.
QUEUES = 16


class Word(enum.IntEnum):
    """The words of 32 bits of a report; from QUEUE on five for each queue."""

    MAGIC = 0
    #: 1: it serves the queues. 2: it went away, and is waited for.
    BACK_END = 1
    #: Features of 64 bits, the low word first.
    OFFERED = 2
    TAKEN = 4
    COUNT = 6
    #: The index, the size, the vector, and the offsets of the available and the used ring.
    QUEUE = 8


_SERVES, _AWAY = 1, 2
QUEUE_WORDS = 5


class Report:
    """The report of one device; there is none while the device does not run."""

    def __init__(self, memory: mmap.mmap, number: int, base: int) -> None:
        """For the device *number* of a *memory* that the remote has at the address *base*."""
        offset = REPORTS + number * REPORT_SIZE
        self._base = base
        self._whole = memoryview(memory)
        self._part = self._whole[offset : offset + REPORT_SIZE]
        self._words = self._part.cast("I")

    def running(self, offered: int, taken: int, queues: Sequence[tuple[Queue, int]]) -> None:
        """The back-end serves *queues*, each with its vector."""
        words = self._words
        for at, features in ((Word.OFFERED, offered), (Word.TAKEN, taken)):
            words[at], words[at + 1] = features & 0xFFFF_FFFF, features >> 32
        for number, (queue, vector) in enumerate(queues[:QUEUES]):
            first = Word.QUEUE + number * QUEUE_WORDS
            rings = (self._offset(queue.avail), self._offset(queue.used))
            for word, value in enumerate((queue.index, queue.size, vector, *rings), first):
                words[word] = value
        words[Word.COUNT] = min(len(queues), QUEUES)
        words[Word.BACK_END] = _SERVES
        words[Word.MAGIC] = MAGIC

    def _offset(self, address: int) -> int:
        """The offset of a ring; 1, where none can be, if it has more than 32 bits."""
        offset = address - self._base
        return offset if offset < 1 << 32 else 1

    def away(self, *, away: bool) -> None:
        """The back-end went away, or is back."""
        self._words[Word.BACK_END] = _AWAY if away else _SERVES

    def stopped(self) -> None:
        """Nobody serves the device's queues."""
        self._words[Word.MAGIC] = 0

    def close(self) -> None:
        """Give back the views of the memory, so that it can be unmapped."""
        for view in (self._words, self._part, self._whole):
            view.release()
