# SPDX-License-Identifier: BSD-3-Clause
"""The commands below each other, and rslctl on a terminal."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from typing import Any

import mkman
import typer
from rslctl.cli.application import app

from tests.unit.machine import Machine


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and those below it, each with its words."""
    yield path, command
    for name, each in mkman.below(command).items():
        yield from commands(each, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def on_terminal(path: str, *arguments: str, **environment: str) -> str:
    """What rslctl, found by the PATH *path*, writes to a terminal of 80 columns."""
    with Terminal("rslctl", *arguments, PATH=path, **environment) as terminal:
        terminal.rest()
        return terminal.seen


class Terminal:
    """A terminal of 80 columns and 24 lines on which a program runs."""

    def __init__(self, *command: str, **environment: str) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
            os.environ.pop("COLUMNS", None)
            os.environ.update({"TERM": "xterm-256color", **environment})
            os.execvp(command[0], command)
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.status = -1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def read(self, until: str) -> str:
        """What comes until a text has come. Fails if it does not come in 30 seconds."""
        start = len(self.seen)
        while until not in self.seen[start:]:
            assert self._more(), self.seen
        return self.seen[start:]

    def rest(self) -> str:
        """What comes until the program ends."""
        start = len(self.seen)
        while self._more():
            pass
        return self.seen[start:]

    def _more(self) -> bool:
        assert select.select([self._fd], [], [], 30)[0], self.seen
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end was closed
            return False
        self.seen += self._decoder.decode(data)
        return True

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def mode(self) -> list[object]:
        """How the terminal is set (termios)."""
        return list(termios.tcgetattr(self._fd))

    def end(self, number: int) -> None:
        os.kill(self._pid, number)


@contextlib.contextmanager
def piped(machine: Machine) -> Iterator[int]:
    """A link whose device is a pipe, and a descriptor that notifies it with the masks that are
    written.
    """
    machine.with_link()
    node = machine.root / "dev/rsl_mbox0"
    node.unlink()
    os.mkfifo(node)
    fd = os.open(node, os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)
