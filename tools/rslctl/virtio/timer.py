# SPDX-License-Identifier: BSD-3-Clause
"""A timer to wait for with descriptors: timerfd_create(2), which Python has from 3.13 on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

from rslctl.errors import os_error

#: TFD_CLOEXEC and TFD_NONBLOCK are these: include/linux/timerfd.h of Linux.
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
_NANOSECONDS = 1_000_000_000


class Timer:
    """Becomes readable once, some time after it was set."""

    def __init__(self) -> None:
        """Make a timer that is not set.

        Raises:
            RslError: the process has too many descriptors.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        self._check(self._fd, "make a timer")

    def fileno(self) -> int:
        return self._fd

    def set(self, seconds: float) -> None:
        """Have it become readable in *seconds*, and not when it was set to become."""
        self._set(max(1, int(seconds * _NANOSECONDS)))

    def stop(self) -> None:
        """Have it never become readable."""
        self._set(0)

    def _set(self, left: int) -> None:
        # struct itimerspec: the interval, and the time to the first end, of which 0 is never.
        times = (ctypes.c_long * 4)(0, 0, left // _NANOSECONDS, left % _NANOSECONDS)
        self._check(self._libc.timerfd_settime(self._fd, 0, times, None), "set a timer")

    def take(self) -> bool:
        """Whether it is over; it is not readable any more then."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
            return True
        return False

    def close(self) -> None:
        """Close it. It may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @staticmethod
    def _check(result: int, action: str) -> None:
        if result < 0:
            number = ctypes.get_errno()
            raise os_error(action, OSError(number, os.strerror(number)))
