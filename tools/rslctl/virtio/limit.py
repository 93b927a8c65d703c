# SPDX-License-Identifier: BSD-3-Clause
"""Keeps a remote from flooding the log: each line that it can cause goes through a limit.

A remote can reset its device, or break its protocol, as often as it likes. As printk_ratelimit() of
Linux (lib/ratelimit.c), a limit shows a number of lines in a period and counts the rest.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: How many lines are shown in a period, and its length in seconds.
LINES = 10
PERIOD = 5.0


class Limit:
    """Shows lines about one device, each with its name in front."""

    def __init__(
        self, name: str, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._show = show
        self._clock = clock
        #: When the period ends; none has begun while no line was shown.
        self._end = float("-inf")
        self._shown = 0
        self._left_out = 0

    def __call__(self, text: str) -> None:
        """Show a line, or count it as left out."""
        self.settle()
        now = self._clock()
        if now >= self._end:
            self._end, self._shown = now + PERIOD, 0
        if self._shown < LINES:
            self._shown += 1
            self._show(f"{self._name}: {text}")
        else:
            self._left_out += 1

    def settle(self) -> float | None:
        """Say how many lines were left out, if their period is over.

        Returns the seconds after which to call it again; None if nothing is left to say.
        """
        if not self._left_out:
            return None
        left = self._end - self._clock()
        if left > 0:
            return left
        self._show(f"{self._name}: {self._left_out} more lines left out in {PERIOD:g} s")
        self._left_out = 0
        return None
