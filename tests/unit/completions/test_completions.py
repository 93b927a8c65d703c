# SPDX-License-Identifier: BSD-3-Clause
"""What shells complete."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit import REPOSITORY
from tests.unit.programs import there

COMPLETIONS = REPOSITORY / "tools/completions"


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
def test_bash_completes(typed: str, expected: set[str], search_path: str) -> None:
    script = (
        f"source {COMPLETIONS / 'rslctl'}; COMP_WORDS=({typed}); "
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _rslctl; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    out = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": search_path},
        check=True,
        capture_output=True,
    ).stdout
    assert set(out.decode().split()) == expected


@pytest.mark.parametrize(("typed", "expected"), WORDS)
def test_fish_completes(typed: str, expected: set[str], search_path: str, tmp_path: Path) -> None:
    script = f"source {COMPLETIONS / 'rslctl.fish'}; complete -C '{typed}'"
    env = {**os.environ, "PATH": search_path, "HOME": str(tmp_path)}
    out = subprocess.run(
        [there("fish"), "-c", script], env=env, check=True, capture_output=True
    ).stdout
    assert {line.split("\t")[0] for line in out.decode().splitlines()} == expected


@pytest.mark.parametrize(("shell", "typed"), [("bash", "rslctl setu"), ("zsh", "rslctl setu")])
def test_the_key_completes(shell: str, typed: str, search_path: str, tmp_path: Path) -> None:
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
        os.environ.update(PATH=search_path, HOME=str(tmp_path), TERM="dumb", PS1="> ")
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
