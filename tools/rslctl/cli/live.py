# SPDX-License-Identifier: BSD-3-Clause
"""A screen that is drawn anew again and again, as top(1) does, until the user ends it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterator

from rslctl.errors import UsageError

#: Escape sequences of xterm and of those who follow it (Xterm Control Sequences): the alternate
#: screen without cursor and without lines that continue on the next, and back.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
#: The lines of a terminal that does not tell, as a serial console.
_LINES = 24


def show(frame: Callable[[], list[str]], interval: float) -> None:
    """Draw the lines of *frame* every *interval* seconds, until "q" or Ctrl-C.

    The last of them stay on the terminal.

    Raises:
        UsageError: stdin or stdout is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--live needs a terminal", hint="rslctl status --interval 1 prints once")
    lines: list[str] = []
    try:
        with _screen():
            while True:
                lines = frame()
                _draw(lines)
                if _told_to_end(interval):
                    break
    except KeyboardInterrupt:
        pass
    finally:
        print("\n".join(lines), flush=True)


def _draw(lines: list[str]) -> None:
    room = (os.get_terminal_size(sys.stdout.fileno()).lines or _LINES) - 1
    if len(lines) > room:
        lines = [
            *lines[: room - 1],
            f"({len(lines) - room + 1} more lines: name a link or vectors)",
        ]
    drawn = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
    sys.stdout.write(f"{_HOME}{drawn}{_REST_OF_SCREEN}")
    sys.stdout.flush()


def _told_to_end(seconds: float) -> bool:
    """Wait for *seconds*; return at once and true if the user types "q" or ends the input."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    return os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b"Q", b"", b"\x04")


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """Take the terminal, and give it back whatever happens."""
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    ended = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        # Keys come at once and are not shown; Ctrl-C still interrupts.
        mode = termios.tcgetattr(keys)
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(keys, termios.TCSAFLUSH, mode)
        sys.stdout.write(_ENTER)
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, ended)
