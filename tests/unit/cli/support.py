# SPDX-License-Identifier: BSD-3-Clause
"""The commands below each other, and rslctl on a terminal."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from typing import Any

import mkman
import typer
from rslctl.cli.application import app


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and those below it, each with its words."""
    yield path, command
    for name, each in mkman.below(command).items():
        yield from commands(each, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def on_terminal(path: str, *arguments: str, **environment: str) -> str:
    """What rslctl, found by the PATH *path*, writes to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(PATH=path, TERM="xterm-256color", **environment)
        os.execvp("rslctl", ["rslctl", *arguments])
    seen = b""
    try:
        while more := os.read(terminal, 65536):
            seen += more
    except OSError:  # the other end was closed
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return seen.decode()
