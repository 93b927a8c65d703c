# SPDX-License-Identifier: BSD-3-Clause
"""The start of the command line, and the statuses that it ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.cli import main, quick
from rslctl.profile import reader

from tests.command_line import TOOLS, Rslctl, write_starter


@pytest.mark.parametrize(
    "arguments",
    [
        ["kick", "x"],
        ["kick"],
        ["kick", "1", "2"],
        ["wait", "x"],
        ["wait", "--timeout", "-1"],
        ["wait", "--timeout", "nan"],
        ["wait", "--timeout", "inf"],
        ["setup"],
        ["setup", "--board", "qemu-virt", "--mode", "999"],
        ["run"],
        ["no-such-command"],
        ["status", "--root", "/no/such/directory"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    rslctl: Rslctl, arguments: list[str]
) -> None:
    status, out, err = rslctl(*arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


def test_a_full_disk_is_told_in_a_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rslctl", "boards"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "rslctl: cannot write the result: No space left on device\n",
    )


def test_an_error_is_a_line_and_a_hint(rslctl: Rslctl) -> None:
    assert rslctl("boards", "show", "zcu12")[::2] == (
        1,
        "rslctl: unknown board 'zcu12'\nhint: did you mean 'zcu102' or 'zcu104'? known boards: "
        f"{', '.join(reader.built_in())}; a profile of your own is named by its .toml file\n",
    )


def test_an_interrupt_is_no_error_that_is_told(
    rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: list[str]) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(quick, "run", interrupted)
    assert rslctl("status") == (130, "", "")


def test_a_bug_is_shown_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: list[str]) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(quick, "run", wrong)
    with pytest.raises(ZeroDivisionError):
        main.main()


@pytest.mark.parametrize("redirected", [">&-", "| true"])
def test_nobody_who_reads_is_no_error_that_is_told(tmp_path: Path, redirected: str) -> None:
    program = write_starter(tmp_path)
    done = subprocess.run(
        ["sh", "-c", f"{{ sleep 0.2; {program} boards --json; }} {redirected}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_character_that_the_terminal_lacks_is_shown_as_its_number(
    tmp_path: Path, words: list[str]
) -> None:
    profile = tmp_path / "n\xe9.toml"
    text = (TOOLS / "rslctl/profile/boards/sim.toml").read_text()
    profile.write_text(text.replace("no hardware", "\u2014 n\xe9 \U0001f600"))
    done = subprocess.run(
        [write_starter(tmp_path), "boards", "show", profile, *words],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2014 n" in done.stdout


#: Sends its own process SIGINT as soon as the module that the environment names is loaded.
INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize("name", ["rslctl.cli.main", "rslctl.errors", "typer"])
@pytest.mark.parametrize("how", [["-m", "rslctl"], [str(TOOLS / "bin/rslctl")]])
def test_an_interrupt_while_it_loads_is_none_that_is_told(
    tmp_path: Path, name: str, how: list[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, *how, "bench"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "INTERRUPTED": name,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
