# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages are those of the commands."""

from __future__ import annotations

import subprocess

import mkman

from tests.unit import REPOSITORY
from tests.unit.cli.support import COMMANDS
from tests.unit.programs import there


def test_the_manual_pages_are_those_of_the_commands() -> None:
    kept = {path.name: path.read_text() for path in (REPOSITORY / "docs/man").iterdir()}
    assert kept == mkman.pages(), "make man makes them anew"


def test_the_manual_pages_are_clean() -> None:
    names = map(str, sorted((REPOSITORY / "docs/man").iterdir()))
    command = [there("mandoc"), "-T", "lint", "-W", "warning", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A page that is made anew has no date that would not make it differ each time.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


def test_a_page_has_all_options_of_its_command() -> None:
    for path, command in COMMANDS.items():
        page = mkman.pages()["-".join(("rslctl", *path[:1])) + ".1"].replace("\\-", "-")
        for option in command.params:
            assert all(name in page for name in option.opts if name.startswith("-")), path
