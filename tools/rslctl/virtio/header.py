# SPDX-License-Identifier: BSD-3-Clause
"""The virtio-mmio header of a device in the shared memory, which the remote reads and writes."""

from __future__ import annotations

import struct

from rslctl.virtio import engine, registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap

    from rslctl.virtio.wiring import Wiring

#: How often a header is read at most for one copy.
READS = 8

_WORD = 4
_WORDS = struct.Struct(f"={registers.HEADER_SIZE // _WORD}I")


class Header:
    """A header in the mapping of the link's memory.

    Every register is read and written by one aligned access of 32 bits.
    """

    def __init__(self, memory: mmap.mmap, offset: int, wiring: Wiring) -> None:
        """For the header at *offset* of the memory, a multiple of 4."""
        self._whole = memoryview(memory)
        self._part = self._whole[offset : offset + registers.HEADER_SIZE]
        self._words = self._part.cast("I")
        self._wiring = wiring

    def read(self) -> bytes:
        """A copy of the header.

        It is read until two copies are equal, as then it was so at one time; at most
        :data:`READS` times, so that a remote that writes without end delays nobody.
        """
        before = self._words.tolist()
        for _ in range(READS - 1):
            found = self._words.tolist()
            if found == before:
                break
            before = found
        return _WORDS.pack(*before)

    def register(self, offset: int) -> int:
        """The value of one register."""
        return self._words[offset // _WORD]

    def perform(self, action: engine.Put | engine.Kick | engine.Barrier) -> None:
        """Do what an engine asks for.

        Raises:
            GoneError: the link is gone.
        """
        if isinstance(action, engine.Put):
            self._words[action.offset // _WORD] = action.value
        elif isinstance(action, engine.Kick):
            self._wiring.ring()
        else:
            self._wiring.barrier()

    def close(self) -> None:
        """Give back the views of the memory, so that it can be unmapped."""
        for view in (self._words, self._part, self._whole):
            view.release()
