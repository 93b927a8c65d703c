# SPDX-License-Identifier: BSD-3-Clause
"""A timer becomes readable once, when it was set to."""

from __future__ import annotations

import contextlib
import select

from rslctl.virtio.timer import Timer

LIMIT = 30.0


def test_a_timer_becomes_readable_once() -> None:
    with contextlib.closing(Timer()) as timer:
        timer.set(0.001)
        assert select.select([timer], [], [], LIMIT)[0] == [timer]
        assert timer.take()
        assert not timer.take()
        assert select.select([timer], [], [], 0)[0] == []


def test_no_time_at_all_is_at_once() -> None:
    with contextlib.closing(Timer()) as timer:
        timer.set(0)
        assert select.select([timer], [], [], LIMIT)[0] == [timer]


def test_a_timer_that_is_set_again_or_stopped_forgets_the_first_time() -> None:
    with contextlib.closing(Timer()) as timer:
        timer.set(0)
        assert select.select([timer], [], [], LIMIT)[0] == [timer]
        timer.set(LIMIT)
        assert not timer.take()
        timer.set(0)
        timer.stop()
        assert select.select([timer], [], [], 0)[0] == []


def test_a_timer_may_be_closed_twice() -> None:
    timer = Timer()
    timer.close()
    timer.close()
