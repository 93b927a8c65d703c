# SPDX-License-Identifier: BSD-3-Clause
"""The signals that end a daemon, for tests: sent at any line, and undone afterwards."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rslctl.linux import signals


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Have the handlers and the mask afterwards that there were before."""
    handlers = {each: signal.getsignal(each) for each in signals.ENDING}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class SignalAt:
    """Sends this thread a signal at a line of a package, counted from 0, while it is entered."""

    def __init__(self, package: Path, line: int, number: signal.Signals) -> None:
        self._package = str(package)
        self._left = line
        self._number = number
        #: The function whose line it was.
        self.function = ""

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(self._package):
            return None
        if event == "line":
            if self._left == 0:
                self.function = frame.f_code.co_name
                signal.raise_signal(self._number)
            self._left -= 1
        return self._trace
