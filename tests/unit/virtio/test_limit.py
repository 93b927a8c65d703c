# SPDX-License-Identifier: BSD-3-Clause
"""Lines about a device that its remote can cause."""

from __future__ import annotations

from rslctl.virtio.limit import LINES, PERIOD, Limit


class Log:
    """The lines of a limit, and its clock in seconds."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 1000.0
        self.limit = Limit("rng", self.lines.append, lambda: self.now)


def test_lines_have_the_name_of_the_device() -> None:
    log = Log()
    log.limit("reset")
    assert log.lines == ["rng: reset"]
    assert log.limit.settle() is None


def test_a_flood_shows_its_first_lines_and_then_how_many_were_left_out() -> None:
    log = Log()
    for number in range(1000):
        log.limit(f"broken {number}")
    assert log.lines == [f"rng: broken {number}" for number in range(LINES)]
    assert log.limit.settle() == PERIOD
    log.now += PERIOD - 1
    assert log.limit.settle() == 1
    log.now += 1
    assert log.limit.settle() is None
    assert log.lines[LINES:] == ["rng: 990 more lines left out in 5 s"]
    assert log.limit.settle() is None
    assert len(log.lines) == LINES + 1


def test_a_flood_without_end_is_the_same_few_lines_in_each_period() -> None:
    log = Log()
    for _ in range(10 * 1000):
        log.limit("broken")
        log.now += PERIOD / 1000
    assert 10 * LINES <= len(log.lines) <= 10 * (LINES + 1) + 1


def test_a_line_after_the_period_comes_behind_what_was_left_out() -> None:
    log = Log()
    for _ in range(LINES + 2):
        log.limit("broken")
    log.now += PERIOD
    log.limit("runs")
    assert log.lines[LINES:] == ["rng: 2 more lines left out in 5 s", "rng: runs"]
