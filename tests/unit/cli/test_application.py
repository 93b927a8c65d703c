# SPDX-License-Identifier: BSD-3-Clause
"""The commands and their help."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from rslctl.cli import application, quick

from tests.command_line import Rslctl
from tests.unit.cli.support import COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_the_commands(path: tuple[str, ...], rslctl: Rslctl) -> None:
    status, out, _ = rslctl(*path, "--help")
    assert status == 0
    assert f"Example: {' '.join(('rslctl', *path))}" in out


def test_the_version_is_told(rslctl: Rslctl) -> None:
    assert rslctl("--version")[1].startswith("rslctl 0.")
    assert rslctl("-V") == rslctl("--version")


def test_every_command_of_the_help_is_loaded_from_its_module() -> None:
    group: Any = typer.main.get_command(application.app)
    names = [name for rows in application.SECTIONS.values() for name in rows]
    assert group.list_commands(None) == names
    assert len(set(names)) == len(names)
    for name in names:
        assert group.get_command(None, name).name == name
    below = group.get_command(None, "remote")
    assert {f"remote {each}" for each in below.commands} < set(quick.COMMANDS)


@pytest.mark.parametrize("name", ["nothing", "", "remote start", "app"])
def test_there_is_no_other_command(name: str) -> None:
    group: Any = typer.main.get_command(application.app)
    assert group.get_command(None, name) is None


def test_without_a_command_the_help_is_the_result(rslctl: Rslctl) -> None:
    status, out, err = rslctl()
    assert (status, err) == (0, "")
    for section, rows in application.SECTIONS.items():
        assert f"{section}:" in out
        for name in rows:
            assert f"\n  {name} " in out
    assert rslctl("remote") == (0, rslctl("remote", "--help")[1], "")
