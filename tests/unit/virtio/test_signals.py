# SPDX-License-Identifier: BSD-3-Clause
"""The signals that end a daemon, sent to this thread: pytest has others, which do not hold them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from rslctl.virtio import options, service, signals

from tests.unit.virtio.links import played

PACKAGE = str(Path(service.__file__).parent)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = {each: signal.getsignal(each) for each in signals.ENDING}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _EndedError(Exception):
    pass


def _end(*_: object) -> None:
    raise _EndedError


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_that_is_held_comes_where_it_is_heard(number: signal.Signals) -> None:
    signal.signal(number, _end)
    signals.hold()
    signal.raise_signal(number)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert number in held
    with pytest.raises(_EndedError), signals.heard():
        time.sleep(60)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == held
    signal.raise_signal(number)
    with pytest.raises(_EndedError):
        signals.release()


def test_where_signals_are_not_held_they_are_not_after_they_were_heard() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals.heard():
        pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


class _SignalAt:
    """Sends this process a signal at a line of rslctl.virtio, counted from 0."""

    def __init__(self, line: int, number: signal.Signals) -> None:
        self._left = line
        self._number = number
        #: The function whose line it was.
        self.function = ""

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            if self._left == 0:
                self.function = frame.f_code.co_name
                signal.raise_signal(self._number)
            self._left -= 1
        return self._trace


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_at_any_line_while_devices_are_made_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    words = [f"console,socket={tmp_path}/console", f"blk,socket={tmp_path}/none"]
    functions: list[str] = []
    while "heard" not in functions:
        with played(*words, version=2) as (link, _):
            plan = options.plan(link.manifest, ())
            before = len(os.listdir("/proc/self/fd"))
            at = _SignalAt(len(functions), number)

            def make() -> service.Service:
                with at:  # noqa: B023
                    return service.Service(link, plan, {}, print)  # noqa: B023

            with pytest.raises(SystemExit, match=r"^0$"):
                service.serve(make)
            functions.append(at.function)
            assert len(os.listdir("/proc/self/fd")) == before, at.function
        assert not [*tmp_path.iterdir()], at.function
    assert "_unlink" not in functions
    assert {"_is_stale", "_identity", "__init__", "_reach"} <= {*functions}
