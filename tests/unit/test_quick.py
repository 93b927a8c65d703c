# SPDX-License-Identifier: BSD-3-Clause
"""The quick way into frequent commands: it means what typer means, and loads little."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rslctl import application, journal, quick
from rslctl.host import Host

from tests.unit.machine import Machine

TYPER: Any = typer.main.get_command(application.app)

#: What lines are made of: what each command knows, what none knows, and values good and bad.
WORDS = (
    *("--link", "--json", "--dry-run", "--root", "--timeout", "--interval", "--verbose", "--help"),
    *("--link=rpu0", "--json=1", "--", "-1", "-v", "--lin", "", "x", "rpu0", "/", "-"),
    *("0", "3", "007", "+3", "1_0", "٣", "3.5", ".5", "5.", ".", "1e9", "1e3", "2000000000", "nan"),
    *("0.001", "9" * 30, " 3", "0x3"),
)


def function(name: str) -> Any:
    return getattr(import_module(f"rslctl.commands.{name}"), name)


@given(st.sampled_from(quick.COMMANDS), st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_read_quickly_is_what_typer_reads(name: str, words: list[str]) -> None:
    found = quick.parse(function(name), words)
    if found is None:
        return
    context = TYPER.get_command(None, name).make_context(name, list(words))
    defaults = dict(
        zip(
            reversed(function(name).__code__.co_varnames[: function(name).__code__.co_argcount]),
            reversed(function(name).__defaults__),
            strict=False,
        )
    )
    assert {**defaults, **found} == context.params


@pytest.mark.parametrize(
    ("name", "line", "wanted"),
    [
        ("kick", "3", {"vector": 3}),
        ("kick", "--link rpu0 3 --json", {"vector": 3, "link": "rpu0", "json": True}),
        ("kick", "3 --dry-run --root /image", {"vector": 3, "dry_run": True, "root": "/image"}),
        ("wait", "", {}),
        ("wait", "3 --timeout 0.5", {"vector": 3, "timeout": 0.5}),
        ("status", "--json --interval 2", {"json": True, "interval": 2.0}),
    ],
)
def test_the_lines_of_scripts_are_read_quickly(
    name: str, line: str, wanted: dict[str, object]
) -> None:
    assert quick.parse(function(name), line.split()) == wanted


@pytest.mark.parametrize(
    "line", ["kick", "kick x", "kick 1 2", "kick 3 --link", "wait --timeout x", "kick 3 --help"]
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
    facts = journal.Facts("qemu-virt", "doorbell", "/rsl-mbox@8020040", "rsl", "/remote")
    saved = journal.Journal(machine.host, "rpu0")
    saved.facts = facts
    saved.finish()
    program = (
        "import sys; from rslctl import cli\ntry: cli.main()\nfinally: print(*sys.modules, "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split(), "--root", machine.root],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(quick.__file__).parents[1])},
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
    for name, (_, line) in application.COMMANDS.items():
        assert line == TYPER.get_command(None, name).get_short_help_str(200), name


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\,:{}\n \x00'), max_size=12)


@given(st.fixed_dictionaries(dict.fromkeys(vars(journal.Facts("", "", "", "")), TEXT)))
def test_facts_are_read_alike_with_and_without_the_json_reader(
    tmp_path_factory: pytest.TempPathFactory, facts: dict[str, str]
) -> None:
    host = Host(tmp_path_factory.getbasetemp())
    saved = journal.Journal(host, "rpu0")
    saved.facts = journal.Facts(**facts)
    saved.finish()
    document = json.loads(host.read(saved.file))
    read = journal.facts(host, "rpu0")
    assert read
    assert vars(read) == document["facts"] == facts
