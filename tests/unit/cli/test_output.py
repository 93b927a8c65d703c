# SPDX-License-Identifier: BSD-3-Clause
"""What commands print."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rslctl.cli import output

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
    assert "making the overlay" in on_terminal(search_path, "overlay", "--board", "zcu102")
    _, out, err = rslctl("overlay", "--board", "zcu102")
    assert "making the overlay" not in out + err


def test_a_result_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"name": "é", "list": [1, None, True]}
    output.print_json(document)
    assert json.loads(capsys.readouterr().out) == document


def test_a_long_line_continues_between_words_on_a_terminal_only(
    search_path: str, rslctl: Rslctl
) -> None:
    arguments = ["doctor", "--board", "zcu102"]
    status, out, _ = rslctl(*arguments)
    assert status == 1 and any(len(line) > 80 for line in out.splitlines())
    shown = on_terminal(search_path, *arguments, NO_COLOR="1")
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    lines = [line.rsplit("\r", 1)[-1] for line in shown.replace("\r\n", "\n").splitlines()]
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
    assert not [line for line in lines if line.endswith(",")]
    assert " ".join(out.split()) in " ".join(" ".join(lines).split())


@example(" aaaaaa, , ", 10, 0)
@given(st.text("ab, ", max_size=200), st.integers(10, 80), st.sampled_from([0, 4]))
def test_lines_are_no_wider_than_a_terminal_and_do_not_end_in_a_comma(
    text: str, width: int, indent: int
) -> None:
    lines = output.wrapped(text, width, indent)
    assert " ".join(lines).split() == text.split()
    for line in lines[:-1]:
        assert len(line) <= width or " " not in line.strip()
        assert not line.endswith(",") or all(word.endswith(",") for word in line.split())
    assert lines[0].startswith(" " * indent)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "  three"]),
        ("one, two three", ["one, two", "  three"]),
        ("a one, three", ["a", "  one,", "  three"]),
        ("a, b, c, d", ["a, b, c,", "  d"]),
        ("abcdefghijklmn op", ["abcdefghijklmn", "  op"]),
        ("\x1b[31merror\x1b[0m: x", ["\x1b[31merror\x1b[0m: x"]),
    ],
)
def test_a_line_of_nine_columns(text: str, lines: list[str]) -> None:
    assert output.wrapped(text, 9) == lines


@pytest.mark.parametrize("width", range(23, 28))
def test_a_command_is_not_torn_apart(width: int) -> None:
    lines = output.wrapped("start it, then: rslctl remote start", width)
    assert lines == ["start it, then:", "  rslctl remote start"]


def test_busy_is_shown_on_a_terminal_only_and_goes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with output.busy("measuring"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.busy("measuring"):
        assert capsys.readouterr().err == "measuring ..."
    assert capsys.readouterr().err == "\r\x1b[K"
