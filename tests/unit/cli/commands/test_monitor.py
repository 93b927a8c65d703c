# SPDX-License-Identifier: BSD-3-Clause
"""What ``rslctl monitor`` makes of its arguments."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from rslctl.cli.commands.monitor import render

from tests.command_line import Rslctl
from tests.unit.cli.support import Terminal
from tests.unit.machine import Machine

NOTIFICATION: dict[str, str | int] = {
    "link": "rpu0",
    "vector": 3,
    "time": 12_000_000_345,
    "count": 7,
}


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("%l/%v", "rpu0/3"),
        ("%t %c", "12.000000345 7"),
        ("100%% %%v", "100% %v"),
        ("", ""),
    ],
)
def test_a_format_says_what_a_line_has(form: str, line: str) -> None:
    assert render(form, NOTIFICATION) == line


@pytest.mark.parametrize(("form", "named"), [("%v %q", "%q"), ("%", "%"), ("%%%", "%")])
def test_an_unknown_specifier_is_a_usage_error(rslctl: Rslctl, form: str, named: str) -> None:
    status, out, err = rslctl("monitor", "--format", form)
    assert (status, out) == (2, "")
    assert err == f"rslctl: --format: '{named}' is not one of %l, %v, %t, %c, %%\n"


def test_a_vector_that_the_link_lacks_is_refused(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link(vectors=4)
    status, _, err = rslctl("monitor", "0", "4", "--root", machine.root)
    assert status == 1
    assert "has no vector 4" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--live"], "--live needs a terminal"),
        (["--live", "--json"], "--live goes with vectors, --interval, --link and --root only"),
        (["--live", "-n", "1"], "--live goes with vectors, --interval, --link and --root only"),
        (["--live", "--format", "%v"], "--live goes with vectors, --interval, --link and --root"),
        (["--interval", "2"], "--interval goes with --live only"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    rslctl: Rslctl, machine: Machine, words: list[str], why: str
) -> None:
    machine.with_link()
    status, out, err = rslctl("monitor", *words, "--root", machine.root)
    assert (status, out) == (2, "")
    assert why in err


def attribute(machine: Machine, name: str, number: int) -> None:
    """Set an attribute of the link. As in sysfs, no reader sees it half written."""
    machine.write("/new", f"{number}\n")
    place = machine.root / f"sys/class/rsl_mbox/rsl_mbox0/{name}"
    (machine.root / "new").replace(place)


def screen(terminal: Terminal, until: str) -> list[str]:
    """The lines of the next whole screen that has a text."""
    while True:
        drawn = terminal.read("\x1b[J").split("\x1b[J")[0].rsplit("\x1b[H", 1)[-1]
        if until in drawn:
            return re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", drawn).replace("\r", "").splitlines()


def test_live_is_a_screen_with_rates_stalls_and_open_files_that_q_ends(
    machine: Machine, search_path: str
) -> None:
    machine.with_link()
    words = ("monitor", "--live", "--interval", "0.1", "--root", str(machine.root))
    with Terminal("rslctl", *words, PATH=search_path) as terminal:
        terminal.read("\x1b[?1049h")
        lines = screen(terminal, "link rpu0")
        assert lines[0] == "rslctl monitor --live: every 0.1 s; q ends"
        assert "  open files  0, so nobody reads the notifications" in lines
        assert lines[-1].split() == ["3", "13", "0", "23", "0.0", "0.0"]
        attribute(machine, "vector3/kicks", 1013)
        lines = screen(terminal, "1013")
        assert 1000 < float(lines[-1].split()[4]) < 20_000
        attribute(machine, "open_files", 1)
        attribute(machine, "stalled_ms", 40)
        lines = screen(terminal, "stalled")
        assert "  open files  1" in lines
        assert "  stalled     the remote has not taken a kick for 40 ms" in lines
        assert all(len(line) <= 80 for line in lines)
        terminal.type("q")
        terminal.rest()
    assert terminal.status == 0
    # The last screen stays, behind what gives the terminal back.
    assert "stalled" in terminal.seen.rsplit("\x1b[?1049l", 1)[1]


def test_live_shows_links_that_come_and_go_and_some_vectors(
    machine: Machine, search_path: str, tmp_path: Path
) -> None:
    words = ("monitor", "--live", "1", "--interval", "0.05", "--root", str(machine.root))
    with Terminal("rslctl", *words, PATH=search_path) as terminal:
        screen(terminal, "no link is up")
        made = Machine(tmp_path / "made").with_link()
        (machine.root / "sys/class").mkdir(parents=True)
        (made.root / "sys/class/rsl_mbox").replace(machine.root / "sys/class/rsl_mbox")
        assert [line.split()[0] for line in screen(terminal, "notifications")[-1:]] == ["1"]
        attribute(machine, "vector1/kicks", 0)  # as of a new device
        assert screen(terminal, "  1      0 ")
        terminal.end(signal.SIGTERM)
        terminal.rest()
    assert terminal.status == 143
    assert terminal.seen.count("\x1b[?1049h") == terminal.seen.count("\x1b[?1049l") == 1
