# SPDX-License-Identifier: BSD-3-Clause
"""Threads for what has to wait."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from rslctl.virtio.device import Device
from rslctl.virtio.workers import Workers

from tests.unit.virtio.remote_side import LIMIT


class Named:
    """Plays a device, of which its name is used."""

    def __init__(self, name: str) -> None:
        self.name = name


ONE, OTHER = (cast("Device", Named(name)) for name in ("blk", "fs"))


@pytest.fixture
def workers() -> Iterator[Workers]:
    with contextlib.closing(Workers()) as made:
        yield made


def told(workers: Workers, limit: float = LIMIT) -> bool:
    return bool(select.select([workers], [], [], limit)[0])


def test_nobody_waits_for_work_and_its_end_is_told(workers: Workers) -> None:
    go = threading.Event()

    def wait() -> None:
        assert go.wait(LIMIT)

    workers.start(ONE, wait)
    assert (workers.busy(ONE), workers.busy(OTHER)) == (True, False)
    assert not told(workers, 0)
    workers.start(OTHER, lambda: None)
    assert told(workers)
    assert workers.done() == [OTHER]
    assert (workers.busy(ONE), workers.busy(OTHER)) == (True, False)
    go.set()
    assert told(workers)
    assert workers.done() == [ONE]
    assert (workers.busy(ONE), told(workers, 0)) == (False, False)


def test_what_work_raises_is_raised_where_its_end_is_told(workers: Workers) -> None:
    def fail() -> None:
        raise ValueError("this")

    workers.start(ONE, fail)
    assert told(workers)
    with pytest.raises(ValueError, match="this"):
        workers.done()
    assert not workers.busy(ONE)


def test_the_end_of_all_is_told_where_some_raise(workers: Workers) -> None:
    def fail() -> None:
        raise ValueError("this")

    for each in (ONE, OTHER):
        workers.start(each, fail)
    workers.wait()
    with pytest.raises(ValueError, match="this"):
        workers.done()
    assert not workers.busy(ONE) and not workers.busy(OTHER)
    assert workers.done() == []


def test_all_work_ends_before_the_workers_do() -> None:
    workers, ended = Workers(), []
    for each in (ONE, OTHER):
        workers.start(each, lambda: ended.append(told(workers, 0.1)))
    before = len(os.listdir("/proc/self/fd"))
    workers.close()
    assert len(ended) == 2
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_process_that_may_have_no_more_threads_does_the_work_itself(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    doers: list[int] = []
    workers.start(ONE, lambda: doers.append(threading.get_ident()))
    assert doers == [threading.get_ident()]
    assert told(workers, 0)
    assert workers.done() == [ONE]
    workers.wait()
