# SPDX-License-Identifier: BSD-3-Clause
"""SIGTERM and SIGINT, which come only where they may: not while something is half made."""

from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What ends a daemon.
ENDING = (signal.SIGTERM, signal.SIGINT)


def hold() -> set[int | signal.Signals]:
    """Have them wait until :func:`release`, but for :func:`heard`; before there are threads.

    Return what the thread blocked before.
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def release() -> None:
    """Let them come, also if the parent process has blocked them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Let them come while the process waits; what their handler raises ends the waiting.

    For code that undoes what it has begun when that happens. In a thread that does not hold them it
    changes nothing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        release()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
