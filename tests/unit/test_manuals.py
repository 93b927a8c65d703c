# SPDX-License-Identifier: BSD-3-Clause
"""Manual pages, completions and help: what a user is shown of the command line."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mkman
import pytest
import typer
from rslctl.cli.application import app

from tests.unit.machine import Rslctl

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "tools/completions"


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, each in mkman.below(command).items():
        yield from commands(each, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with this checkout's rslctl."""
    starter = tmp_path / "bin/rslctl"
    starter.parent.mkdir()
    starter.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        "from rslctl.cli.main import main\nmain()\n"
    )
    starter.chmod(0o755)
    return f"{starter.parent}:{os.environ['PATH']}"


def there(program: str) -> str:
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is missing")
    return found


def test_the_manual_pages_are_those_of_the_commands() -> None:
    kept = {path.name: path.read_text() for path in (ROOT / "docs/man").iterdir()}
    assert kept == mkman.pages(), "make man makes them anew"


def test_the_manual_pages_are_clean() -> None:
    names = map(str, sorted((ROOT / "docs/man").iterdir()))
    command = [there("mandoc"), "-T", "lint", "-W", "warning", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A page that is made anew has no date that would not make it differ each time.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


def test_a_page_has_all_options_of_its_command() -> None:
    for path, command in COMMANDS.items():
        page = mkman.pages()["-".join(("rslctl", *path[:1])) + ".1"].replace("\\-", "-")
        for option in command.params:
            assert all(name in page for name in option.opts if name.startswith("-")), path


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_the_commands(path: tuple[str, ...], rslctl: Rslctl) -> None:
    status, out, _ = rslctl(*path, "--help")
    assert status == 0
    assert f"Example: {' '.join(('rslctl', *path))}" in out


WORDS = [
    ("rslctl se", {"setup", "serve"}),
    ("rslctl overlay ins", {"install"}),
    ("rslctl setup --board zc", {"zcu102", "zcu104"}),
    ("rslctl layout --board sim --device rn", {"rng"}),
    ("rslctl remote-dt --format zep", {"zephyr"}),
]


#: As bash splits an option with its value.
VALUES = [
    ("rslctl setup --board = zc", {"zcu102", "zcu104"}),
    ("rslctl remote-dt --board = zcu102 --format = zep", {"zephyr"}),
    ("rslctl overlay --style =", {"rsl", "user-mailbox"}),
]


@pytest.mark.parametrize(("typed", "expected"), [*WORDS, *VALUES])
def test_bash_completes(typed: str, expected: set[str], path: str) -> None:
    script = (
        f"source {COMPLETIONS / 'rslctl'}; COMP_WORDS=({typed}); "
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _rslctl; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    out = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, check=True, capture_output=True
    ).stdout
    assert set(out.decode().split()) == expected


@pytest.mark.parametrize(("typed", "expected"), WORDS)
def test_fish_completes(typed: str, expected: set[str], path: str, tmp_path: Path) -> None:
    script = f"source {COMPLETIONS / 'rslctl.fish'}; complete -C '{typed}'"
    env = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    out = subprocess.run(
        [there("fish"), "-c", script], env=env, check=True, capture_output=True
    ).stdout
    assert {line.split("\t")[0] for line in out.decode().splitlines()} == expected


@pytest.mark.parametrize(("shell", "typed"), [("bash", "rslctl setu"), ("zsh", "rslctl setu")])
def test_the_key_completes(shell: str, typed: str, path: str, tmp_path: Path) -> None:
    start = {
        "bash": ["--norc", "--noprofile", "-i"],
        "zsh": ["-f", "-i"],
    }[shell]
    prepare = {
        "bash": f"source {COMPLETIONS / 'rslctl'}",
        "zsh": f"fpath=({COMPLETIONS} $fpath); autoload -U compinit; compinit -u",
    }[shell]
    program = there(shell)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(PATH=path, HOME=str(tmp_path), TERM="dumb", PS1="> ")
        os.execv(program, [shell, *start])
    try:
        os.write(terminal, f"{prepare}\n{typed}\t".encode())
        seen, deadline = b"", time.monotonic() + 30
        while not seen.rstrip().endswith(b"rslctl setup"):
            assert time.monotonic() < deadline, seen
            seen += os.read(terminal, 1024)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["setpu", "--board", "zcu102"], "setup"),
        (["overlay", "inst-all"], "install"),
        (["kick", "--lnik", "rpu0", "3"], "--link"),
        (["overlay", "--board", "zcu012"], "zcu102"),
    ],
)
def test_what_is_mistyped_is_guessed(typed: list[str], meant: str, rslctl: Rslctl) -> None:
    status, out, err = rslctl(*typed)
    assert status in (1, 2) and out == ""
    assert meant in err.split("known boards")[0]


def on_terminal(path: str, *arguments: str, **environment: str) -> str:
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


#: Codes that change a colour: 30 to 37, 90 to 97, 38 and their backgrounds.
COLOUR = r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7]|4[0-8]|10[0-7])[;m]"


def test_colours_are_for_terminals_and_where_they_are_wanted(path: str, rslctl: Rslctl) -> None:
    arguments = ["doctor", "--board", "zcu102"]
    coloured = on_terminal(path, *arguments)
    assert re.search(COLOUR, coloured)
    assert not re.search(COLOUR, on_terminal(path, *arguments, NO_COLOR="1"))
    _, out, err = rslctl(*arguments)
    assert "\x1b" not in out + err


def test_what_takes_a_while_shows_it_on_a_terminal_only(path: str, rslctl: Rslctl) -> None:
    assert "looking at the machine" in on_terminal(path, "doctor", "--board", "zcu102")
    _, out, err = rslctl("doctor", "--board", "zcu102")
    assert "looking at the machine" not in out + err
