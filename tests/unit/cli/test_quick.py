# SPDX-License-Identifier: BSD-3-Clause
"""The quick way into frequent commands: it means what typer means, and loads little."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rslctl.cli import application, quick
from rslctl.setup import journal

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.faults import with_headers

TYPER: Any = typer.main.get_command(application.app)

#: What lines are made of: what each command knows, what none knows, and values good and bad.
WORDS = (
    *("--link", "--json", "--dry-run", "--root", "--timeout", "--interval", "--verbose", "--help"),
    *("--link=rpu0", "--link=", "--json=1", "--root=/", "--timeout=3", "--interval=x", "--board=x"),
    *(
        "--user=nobody",
        "--mode=0660",
        "--x=y",
        "=",
        "x=y",
        "--=",
        "--",
        "-1",
        "-v",
        "--lin",
        "",
        "x",
        "rpu0",
        "/",
        "-",
    ),
    *("0", "3", "007", "+3", "1_0", "٣", "3.5", ".5", "5.", ".", "1e9", "1e3", "2000000000", "nan"),
    *("0.001", "9" * 30, " 3", "0x3", "0660", "888", "a/b", "../x"),
)


DAEMON = ["daemon", "--link", "x"]
#: A number of seconds that only typer reads.
TYPERS = "1e-2"


def function(name: str) -> Any:
    module, attribute = quick.COMMANDS[name].split(".")
    return getattr(import_module(f"rslctl.cli.commands.{module}"), attribute)


def command(name: str) -> Any:
    found = TYPER
    for word in name.split():
        found = found.get_command(None, word)
    return found


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A command, and words that it may take."""
    name = draw(st.sampled_from(sorted(quick.COMMANDS)))
    own = [word for each in command(name).params for word in each.opts if word[0] == "-"]
    return name, draw(st.lists(st.sampled_from((*own, *WORDS)), max_size=6))


@settings(max_examples=500)
@example(("run", ["--", "x"]))
@example(("run", ["x"]))
@example(("run", ["x", "--", "--", "-c"]))
@example(("kick", ["--link=rpu0", "3"]))
@given(lines())
def test_what_is_read_quickly_is_what_typer_reads(line: tuple[str, list[str]]) -> None:
    name, words = line
    called = function(name)
    found = quick.parse(called, words)
    if found is None:
        return
    names = called.__code__.co_varnames[: called.__code__.co_argcount]
    defaults = called.__defaults__ or ()
    whole = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    read = command(name).make_context(name, list(words)).params
    # Versions of typer have a list as a tuple, and one that nobody gave as an empty one.
    assert {**whole, **found} == {
        key: list(value) or None if isinstance(value, tuple) else value
        for key, value in read.items()
    }


@pytest.mark.parametrize(
    ("name", "line", "wanted"),
    [
        ("kick", "3", {"vector": 3}),
        ("kick", "--link rpu0 3 --json", {"vector": 3, "link": "rpu0", "json": True}),
        ("kick", "3 --dry-run --root /image", {"vector": 3, "dry_run": True, "root": "/image"}),
        ("wait", "", {}),
        ("wait", "3 --timeout 0.5", {"vector": 3, "timeout": 0.5}),
        ("status", "--json --interval 2", {"json": True, "interval": 2.0}),
        ("setup", "--board zcu102 --mode 0660", {"board": "zcu102", "mode": "0660"}),
        ("teardown", "--timeout 0", {"timeout": 0.0}),
        ("remote start", "--link rpu0 --if-known", {"link": "rpu0", "if_known": True}),
        ("serve", "--link rpu0 --verbose", {"link": "rpu0", "verbose": True}),
        ("store", "--link rpu0 --unit a@b.service", {"link": "rpu0", "unit": "a@b.service"}),
        ("virtio", "", {}),
        (
            "virtio",
            "--device rng --device=vsock,cid=42 --version 2 --dry-run",
            {"device": ["rng", "vsock,cid=42"], "version": 2, "dry_run": True},
        ),
        ("run", "--eventfd -- daemon --link x", {"eventfd": True, "command": DAEMON}),
        ("run", "true", {"command": ["true"]}),
        ("run", "a=b 1 --link=rpu0 2", {"command": ["a=b", "1", "2"], "link": "rpu0"}),
        ("run", "daemon -- --link x", {"command": DAEMON}),
        ("kick", "--link=rpu0 3 --root=/a=b", {"vector": 3, "link": "rpu0", "root": "/a=b"}),
        (
            "setup",
            "--board=zcu102 -v --timeout=5",
            {"board": "zcu102", "verbose": True, "timeout": 5},
        ),
    ],
)
def test_the_lines_of_scripts_are_read_quickly(
    name: str, line: str, wanted: dict[str, object]
) -> None:
    assert quick.parse(function(name), line.split()) == wanted


@pytest.mark.parametrize(
    "line",
    [
        "run --",
        "run true -c",
        "run --link=",
        "kick 3 --json=1",
        "kick 3 --link=a --link=b",
        "kick",
        "kick x",
        "kick 1 2",
        "kick 3 --link",
        "wait --timeout x",
        "kick 3 --help",
        "virtio --device",
        "virtio --version 3",
        "virtio --dtb",
        "virtio --no-dtb",
        "virtio --device rng --version 2 --version 2",
    ],
)
def test_what_is_wrong_is_left_to_typer(line: str) -> None:
    name, *words = line.split()
    assert quick.parse(function(name), words) is None


@pytest.mark.parametrize(("line", "status"), [("kick 3", 0), ("wait 9", 1), ("status", 0)])
def test_frequent_commands_load_no_more_than_they_need(
    line: str, status: int, machine: Machine
) -> None:
    machine.with_link()
    machine.with_remote("running")
    with_headers(machine, {8: 4}, {8: 19})
    facts = journal.Facts("qemu-virt", "doorbell", "/rsl-mbox@8020040", "rsl", "/remote")
    saved = journal.Journal(machine.host, "rpu0")
    saved.facts = facts
    saved.finish()
    program = (
        "import sys; from rslctl.cli.main import main\ntry: main()\nfinally: print(*sys.modules, "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split(), "--root", machine.root],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(quick.__file__).parents[2])},
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    heavy = {"typer", "rich", "json", "dataclasses", "typing", "pathlib", "subprocess", "re"}
    assert done.returncode == status, done.stderr
    # A venv's own hooks may load some of them before us.
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert not loaded & heavy - set(bare.stdout.split())


def test_the_line_of_a_command_in_the_help_is_the_first_of_its_own() -> None:
    for rows in application.SECTIONS.values():
        for name, line in rows.items():
            assert line == command(name).get_short_help_str(200), name


@pytest.mark.parametrize("interval", [[], ["--interval", TYPERS]])
def test_a_command_ends_with_the_same_status_both_ways(
    rslctl: Rslctl, machine: Machine, interval: list[str]
) -> None:
    words = ["--root", str(machine.root), *interval]
    assert (quick.parse(function("status"), words) is None) == bool(interval)
    assert rslctl("status", *words)[0] == 1
    machine.with_link()
    assert rslctl("status", *words)[0] == 0


@pytest.mark.parametrize("interval", ["60", "6e1"])
def test_an_interrupt_ends_a_command_silently_both_ways(machine: Machine, interval: str) -> None:
    machine.with_link()
    words = ["status", "--root", str(machine.root), "--interval", interval]
    # A shell ignores the interrupt for what it starts in the background.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "rslctl", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(quick.__file__).parents[2])},
    )
    # It sleeps when it has read what there is.
    sleeping = Path(f"/proc/{process.pid}/wchan")
    deadline = time.monotonic() + 30
    while "nanosleep" not in sleeping.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_two_words_in_one_are_no_command(rslctl: Rslctl) -> None:
    status, _, err = rslctl("remote start")
    assert (status, "No such command 'remote start'" in err) == (2, True)
