# SPDX-License-Identifier: BSD-3-Clause
"""What commands print."""

from __future__ import annotations

import json
import re

import pytest
from rslctl.cli import output

from tests.command_line import Rslctl
from tests.unit.cli.support import on_terminal

#: Codes that change a colour: 30 to 37, 90 to 97, 38 and their backgrounds.
COLOUR = r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7]|4[0-8]|10[0-7])[;m]"


def test_colours_are_for_terminals_and_where_they_are_wanted(
    search_path: str, rslctl: Rslctl
) -> None:
    arguments = ["overlay", "--board", "zcu102"]
    coloured = on_terminal(search_path, *arguments)
    assert re.search(COLOUR, coloured)
    assert not re.search(COLOUR, on_terminal(search_path, *arguments, NO_COLOR="1"))
    _, out, err = rslctl(*arguments)
    assert "\x1b" not in out + err


def test_what_takes_a_while_shows_it_on_a_terminal_only(search_path: str, rslctl: Rslctl) -> None:
    assert "making the overlay" in on_terminal(search_path, "overlay", "--board", "zcu102")
    _, out, err = rslctl("overlay", "--board", "zcu102")
    assert "making the overlay" not in out + err


def test_a_result_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"name": "é", "list": [1, None, True]}
    output.print_json(document)
    assert json.loads(capsys.readouterr().out) == document
