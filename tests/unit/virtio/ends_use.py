# SPDX-License-Identifier: BSD-3-Clause
"""Uses and waits for the far ends of consoles, as a console does."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from rslctl.virtio.ends import End

from tests.unit.virtio.split_ring import LIMIT


def woken(end: End, timeout: float = LIMIT) -> bool:
    """Wait for a change at an end, and call quiet(); False if there was none in time."""
    found = bool(select.select([end], [], [], timeout)[0])
    end.quiet()
    return found


def received(end: End, size: int) -> bytes:
    """The next *size* bytes of input."""
    deadline = time.monotonic() + LIMIT
    data = b""
    while len(data) < size:
        assert time.monotonic() < deadline
        data += end.read(size - len(data))
        if len(data) < size:
            woken(end, 1)
    return data


def fill(end: End) -> bytes:
    """Write output until there is no room; what was written."""
    written = b""
    while count := end.write(data := os.urandom(4096)):
        written += data[:count]
        assert len(written) < 1 << 24, "it takes everything"
    return written


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)
