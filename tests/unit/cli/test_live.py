# SPDX-License-Identifier: BSD-3-Clause
"""A screen that is drawn again and again, on a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import signal
import sys

import pytest
from rslctl.cli import live
from rslctl.errors import UsageError

from tests.command_line import TOOLS
from tests.unit.cli.support import Terminal

#: Draws as many lines as it is told, and says how the terminal is set before and after.
DRAW = """
import sys, termios
from rslctl.cli import live
before = termios.tcgetattr(0)
live.show(lambda: [f"line {number}" for number in range(int(sys.argv[1]))], 0.01)
assert termios.tcgetattr(0) == before
print("the end")
"""


def drawing(lines: int) -> Terminal:
    """A program that draws so many lines."""
    return Terminal(sys.executable, "-c", DRAW, str(lines), PYTHONPATH=str(TOOLS))


@pytest.mark.parametrize("key", ["q", "Q", "\x04", "\x03"])
def test_keys_end_it_and_the_terminal_is_as_before(key: str) -> None:
    with drawing(1) as terminal:
        assert "line 0" in terminal.read("\x1b[J")
        terminal.type("x")
        assert "line 0" in terminal.read("\x1b[J")
        terminal.type(key)
        rest = terminal.rest()
    assert rest.endswith("\x1b[?7h\x1b[?25h\x1b[?1049lline 0\r\nthe end\r\n")
    assert terminal.status == 0


def test_what_does_not_fit_is_counted() -> None:
    with drawing(30) as terminal:
        seen = terminal.read("\x1b[J").split("\x1b[J")[0]
        terminal.end(signal.SIGTERM)
        terminal.rest()
    assert "line 21\x1b[K\r\n(8 more lines: name a link or vectors)" in seen
    assert "line 22" not in seen
    assert seen.count("\r\n") == 23
    assert terminal.status == 128 + signal.SIGTERM


def test_without_a_terminal_it_is_refused() -> None:
    # pytest's own stdin is none.
    with pytest.raises(UsageError, match="--live needs a terminal"):
        live.show(list, 1)
