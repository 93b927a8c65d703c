# SPDX-License-Identifier: BSD-3-Clause
"""What all commands share."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rslctl.cli import common
from rslctl.errors import UsageError

from tests.command_line import Rslctl
from tests.unit.cli.support import on_terminal

#: Codes that change a colour: 30 to 37, 90 to 97, 38 and their backgrounds.
COLOUR = r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7]|4[0-8]|10[0-7])[;m]"


def test_colours_are_for_terminals_and_where_they_are_wanted(
    search_path: str, rslctl: Rslctl
) -> None:
    arguments = ["doctor", "--board", "zcu102"]
    coloured = on_terminal(search_path, *arguments)
    assert re.search(COLOUR, coloured)
    assert not re.search(COLOUR, on_terminal(search_path, *arguments, NO_COLOR="1"))
    _, out, err = rslctl(*arguments)
    assert "\x1b" not in out + err


def test_what_takes_a_while_shows_it_on_a_terminal_only(search_path: str, rslctl: Rslctl) -> None:
    assert "looking at the machine" in on_terminal(search_path, "doctor", "--board", "zcu102")
    _, out, err = rslctl("doctor", "--board", "zcu102")
    assert "looking at the machine" not in out + err


def test_a_root_that_is_no_directory_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "none"):
        with pytest.raises(UsageError, match=f"--root: '{tmp_path}/{name}' is not a directory"):
            common.host(str(tmp_path / name))


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert common.host(str(tmp_path / "link")).root == tmp_path / "real"
    assert common.host("//").live


def test_changes_are_told_where_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verbose in (False, True):
        common.host(str(tmp_path), verbose).watch("write 'x' to 'y'")
    assert capsys.readouterr() == ("", "rslctl: write 'x' to 'y'\n")


def test_a_result_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"name": "é", "list": [1, None, True]}
    common.print_json(document)
    assert json.loads(capsys.readouterr().out) == document
