# SPDX-License-Identifier: BSD-3-Clause
"""Waits until the machine at the other end of a link is at the same point: meet.py NUMBER.

Each side writes the number at the end of the link's memory, where it owns a word by its role.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time

from rslctl.linux import ivshmem, mbox
from rslctl.linux.host import Host

_WORD = struct.Struct("<I")


def meet(number: int, timeout: float = 300) -> None:
    """Wait until the other machine is at *number*, or past it."""
    host = Host()
    link = mbox.pick(host, "vm0")
    role = ivshmem.attribute(host, ivshmem.of_link(host, link.device), "role")
    own = link.memory_size - 8 + ivshmem.ROLES[role]
    other = 2 * (link.memory_size - 8) + 4 - own
    deadline = time.monotonic() + timeout
    with (
        open(link.node, "r+b", buffering=0) as node,
        mmap.mmap(node.fileno(), link.memory_size) as memory,
    ):
        _WORD.pack_into(memory, own, number)
        while _WORD.unpack_from(memory, other)[0] < number:
            if time.monotonic() > deadline:
                raise SystemExit(f"the other machine does not come to {number}")
            time.sleep(0.05)


if __name__ == "__main__":
    meet(int(sys.argv[1]))
