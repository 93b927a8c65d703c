# SPDX-License-Identifier: BSD-3-Clause
"""Linux's side of the control block that tests/remote/remote_ctl.h describes."""

from __future__ import annotations

import time
from collections.abc import Callable

from periphery import MMIO
from rslctl.linux import mbox
from rslctl.linux.host import Host

SIZE = 4096
MAGIC = 0x4D455252
FLOOD, ANSWER, LOOK = 1, 2, 3
#: Of tests/amp/ivshmem_remote.py alone.
ENTRY = 7


class Remote:
    """The control block of the remote at the other end of a link."""

    def __init__(self, link: mbox.LinkDevice) -> None:
        # Offset 0 of the device is the first byte of the shared memory.
        self._block = MMIO(link.memory_size - SIZE, SIZE, path=link.node)
        self._link = link

    def close(self) -> None:
        self._block.close()

    def magic(self) -> int:
        return int(self._block.read32(0))

    def vectors(self) -> int:
        return int(self._block.read32(4))

    def answer(self, mask: int) -> None:
        """Have the remote answer kicks of the vectors in *mask*, and of no other."""
        self.command(ANSWER, mask)

    def flood(self, mask: int, rounds: int, pause: int) -> None:
        """Have the remote notify each vector in *mask*, *rounds* times, *pause* loops apart."""
        self.command(FLOOD, mask, rounds, pause)

    def look(self) -> int:
        """The first word that the remote sees where the profile keeps room for its device tree."""
        self.command(LOOK)
        return int(self._block.read32(28))

    def entry(self, new: int) -> int:
        """The daemon's entry of an ivshmem link's table, which becomes *new* if that is not 0."""
        self.command(ENTRY, new)
        return int(self._block.read32(28))

    def flood_left(self) -> int:
        """The rounds that the flood still has."""
        return int(self._block.read32(24))

    def command(self, command: int, *arguments: int) -> None:
        """Have the remote take a command, by kicking vector 0, and wait until it has it."""
        for at, argument in enumerate(arguments):
            self._block.write32(12 + 4 * at, argument)
        self._block.write32(8, command)
        with mbox.Mailbox(Host(), self._link) as mailbox:
            mailbox.kick(1)
        self.until(lambda: self._block.read32(8) == 0, "the remote takes no command")

    def set_kick_sent(self, vector: int, number: int) -> None:
        self._block.write32(32 + 16 * vector, number)

    def counts(self, vector: int) -> dict[str, int]:
        names = ("kick_sent", "kick_seen", "kick_taken", "notify_sent")
        base = 32 + 16 * vector
        return {name: int(self._block.read32(base + 4 * at)) for at, name in enumerate(names)}

    @staticmethod
    def until(condition: Callable[[], bool], complaint: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, complaint
            time.sleep(0.01)
