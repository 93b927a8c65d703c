# SPDX-License-Identifier: BSD-3-Clause
"""What a command prints: its result on stdout, everything else on stderr.

On a terminal a line that is too long continues on the next line, between words. Into a file or a
pipe it stays one line, for programs.

The quick commands load this module, so it needs no more than the interpreter: see quick.py.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

#: The colours that mean something (ECMA-48): what keeps a link from working, and what may.
COLOURS = {"error": "1;31", "warning": "1;33"}
#: Columns of a terminal that does not tell, as a serial console.
_COLUMNS = 80
#: Columns by which what belongs to a line is moved to the right, and what continues it.
INDENT = 4
_HANG = 2
#: Empties the line that the cursor is in (ECMA-48: CR, EL).
_CLEAR = "\r\x1b[K"


def print_json(document: Any) -> None:
    """Print a result as the one document on stdout."""
    import json

    print(json.dumps(document, indent=2))


def note(text: str) -> None:
    """Print a message that is not a result."""
    show(f"rslctl: {text}", sys.stderr)


def show(text: str, stream: TextIO | None = None, *, indent: int = 0) -> None:
    """Print a line to *stream*, or to stdout. *indent* is the number of spaces before it."""
    stream = stream or sys.stdout
    lines = [f"{' ' * indent}{text}"]
    if stream.isatty():
        lines = wrapped(text, columns(stream), indent)
    # As one, as several threads may print.
    print("\n".join(lines) + "\n", end="", file=stream, flush=True)


def columns(stream: TextIO) -> int:
    """The width of a terminal in columns."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS


def wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    """The lines of a text, none wider than *width* columns, unless a single word is.

    Each begins behind *indent* spaces; if that is 0, all but the first are moved to the right. No
    line but the last ends in a comma, because a line that does seems to be cut off, unless it is
    one of a list; and none between the words of a command, so that it can be copied.
    """
    lines: list[str] = []
    line = " " * indent
    words: list[str] = []
    for word in text.split(" "):
        while words and len(line) + _length(" ".join([*words, word])) > width:
            kept = len(words)
            while kept > 1 and (
                words[kept - 1].endswith(",") or "rslctl" in words[kept - 2 : kept]
            ):
                kept -= 1
            if words[kept - 1].endswith(",") or words[kept - 1] == "rslctl":
                kept = len(words)
                # What was moved from the line before has less room here.
                while kept > 1 and len(line) + _length(" ".join(words[:kept])) > width:
                    kept -= 1
            lines.append(line + " ".join(words[:kept]))
            line = " " * (indent or _HANG)
            words = words[kept:]
        words.append(word)
    return [*lines, line + " ".join(words)]


def _length(text: str) -> int:
    """The columns of a text, which may have parts from :func:`coloured`."""
    first, *others = text.split("\x1b[")
    return len(first) + sum(len(each.partition("m")[2]) for each in others)


def coloured(text: str, meaning: str) -> str:
    """A text in the colour of :data:`COLOURS` for *meaning*, where stdout shows colours.

    NO_COLOR in the environment, if it is not empty, turns colours off (no-color.org).
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "", "dumb")
    if plain or meaning not in COLOURS or not sys.stdout.isatty():
        return text
    return f"\x1b[{COLOURS[meaning]}m{text}\x1b[0m"


class busy:  # noqa: N801 - used as a function: contextlib takes too long to load
    """Show on a terminal that work is going on. Use this in ``with``."""

    def __init__(self, text: str) -> None:
        self.text = text if sys.stderr.isatty() else ""

    def __enter__(self) -> None:
        if self.text:
            print(f"{self.text} ...", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.text:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
