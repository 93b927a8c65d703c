# SPDX-License-Identifier: BSD-3-Clause
"""The signals that end a daemon, sent to this thread: pytest has others, which do not hold them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from rslctl.linux import signals

from tests.unit.linux.ending import restored


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored():
        yield


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
