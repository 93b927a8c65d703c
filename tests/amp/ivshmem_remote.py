# SPDX-License-Identifier: BSD-3-Clause
"""A remote that is a machine of its own to an ivshmem server: the program of ivshmem.py.

It plays take_kick(), take_command() and flood() of tests/remote/remote.c by the control
block of tests/remote/remote_ctl.h. It leaves out the delay of answers, the stamp, the order to go
off and the place of the device tree. Kicks that come while it handles one coalesce, as on a core.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import sys

from rslctl.ivshmem.peer import Peer
from rslctl.linux import ivshmem

#: remote_ctl.h: the control block and the offsets of its words.
_BLOCK, _MAGIC = 4096, 0x4D455252
_COMMAND, _ARGUMENTS, _FLOOD_LEFT, _VECTORS = 8, 12, 24, 32
_FLOOD, _ANSWER = 1, 2
#: A command of this remote alone: tell in _PLACED the daemon's entry of the table, and write arg0
#: there if it is not 0, as a machine does that takes the same role; and take the own role again.
_ENTRY, _PLACED = 7, 28
_WORD = struct.Struct("<I")


class Remote:
    """The remote: a peer with the role "remote"."""

    def __init__(self, path: str, vectors: int) -> None:
        self._peer = Peer(path, vectors)
        self._memory = mmap.mmap(self._peer.memory, self._peer.size)
        self._block = self._peer.size - ivshmem.TABLE_SIZE - _BLOCK
        self._answered = (1 << 32) - 1
        self._flood = 0
        self._memory[self._block : self._block + _BLOCK] = bytes(_BLOCK)
        self._write(4, vectors)
        self._write(0, _MAGIC)
        self._peer.announce("remote")

    def _read(self, offset: int) -> int:
        return int(_WORD.unpack_from(self._memory, self._block + offset)[0])

    def _write(self, offset: int, value: int) -> None:
        _WORD.pack_into(self._memory, self._block + offset, value & 0xFFFFFFFF)

    def run(self) -> None:
        """Answer kicks until the server goes."""
        while True:
            wait = 0 if self._read(_FLOOD_LEFT) else None
            server = self._peer.fileno()
            found = select.select([server, *self._peer.rings], [], [], wait)[0]
            if server in found:
                self._peer.update()
            for vector, ring in enumerate(self._peer.rings):
                if ring in found:
                    os.eventfd_read(ring)
                    self._take(vector)
            if self._read(_FLOOD_LEFT):
                for vector in range(len(self._peer.rings)):
                    if self._flood >> vector & 1:
                        self._notify(vector)
                self._write(_FLOOD_LEFT, self._read(_FLOOD_LEFT) - 1)

    def _take(self, vector: int) -> None:
        base = _VECTORS + 16 * vector
        self._write(base + 8, self._read(base + 8) + 1)
        self._write(base + 4, self._read(base))
        if vector == 0 and self._read(_COMMAND):
            command, first, second = (self._read(at) for at in (_COMMAND, _ARGUMENTS, 16))
            if command == _FLOOD:
                self._flood = first
                self._write(_FLOOD_LEFT, second)
            elif command == _ANSWER:
                self._answered = first
            elif command == _ENTRY:
                table = self._peer.entry_at("daemon")
                self._write(_PLACED, _WORD.unpack_from(self._memory, table)[0])
                if first:
                    _WORD.pack_into(self._memory, table, first)
                self._peer.announce("remote")
            self._write(_COMMAND, 0)
        elif self._answered >> vector & 1:
            self._notify(vector)

    def _notify(self, vector: int) -> None:
        at = _VECTORS + 16 * vector + 12
        self._write(at, self._read(at) + 1)
        number = self._peer.find("daemon")
        if number is not None:
            self._peer.kick(number, vector)


if __name__ == "__main__":
    Remote(sys.argv[1], int(sys.argv[2])).run()
