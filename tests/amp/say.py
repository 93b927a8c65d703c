# SPDX-License-Identifier: BSD-3-Clause
"""What the user is told, on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn


def say(text: str) -> None:
    print(f"amp: {text}", file=sys.stderr, flush=True)


def die(text: str) -> NoReturn:
    """End the program with a message."""
    say(text)
    sys.exit(1)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Say what takes a while, that it goes on, and how long it took."""
    say(f"{text} ...")
    start = time.monotonic()
    done = threading.Event()

    def progress() -> None:
        while not done.wait(10):
            say(f"  still at it: {text}, {time.monotonic() - start:.0f} s")

    thread = threading.Thread(target=progress, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    say(f"  {time.monotonic() - start:.1f} s")
