# SPDX-License-Identifier: BSD-3-Clause
"""The help of commands, and which command was meant."""

from __future__ import annotations

import pytest
from rslctl.cli import help as cli_help

from tests.command_line import Rslctl
from tests.unit.cli.support import COMMANDS


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["setpu", "--board", "zcu102"], "setup"),
        (["overlay", "inst-all"], "install"),
        (["kick", "--lnik", "rpu0", "3"], "--link"),
        (["overlay", "--board", "zcu012"], "zcu102"),
    ],
)
def test_what_is_mistyped_is_guessed(typed: list[str], meant: str, rslctl: Rslctl) -> None:
    status, out, err = rslctl(*typed)
    assert status in (1, 2) and out == ""
    assert meant in err.split("known boards")[0]


def test_a_command_is_not_guessed_where_nothing_is_near(rslctl: Rslctl) -> None:
    status, out, err = rslctl("boards", "xyzzy")
    assert (status, out) == (2, "")
    assert "No such command 'xyzzy'" in err
    assert "Did you mean" not in err


def test_the_help_of_a_group_has_the_whole_line_of_each_command(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("remote", "--help")
    assert status == 0
    assert "Wait until the remote does not run any more, for example after a crash." in " ".join(
        out.split()
    )


def test_an_option_is_shown_with_value_default_and_limits(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("bench", "--help")
    shown = " ".join(out.split())
    assert status == 0
    assert "rslctl bench [OPTIONS] [RUN.json]... " in shown
    assert "--count N Kicks per path and round. [default: 1000; x>=1]" in shown
    assert "--json Print one JSON document. " in shown
    assert shown.endswith("-h, --help Show this message and exit.")


@pytest.mark.parametrize(
    ("parameter", "left", "right"),
    [
        (cli_help.Parameter(("-n", "--number"), "N", "So many."), "-n, --number N", "So many."),
        (cli_help.Parameter((), "NAME", "Which.", required=True), "NAME", "Which.  [required]"),
        (cli_help.Parameter(("--a",), "", "Do.", default="x"), "--a", "Do.  [default: x]"),
        (cli_help.Parameter(("--a",), "N", "Do.", numbers="x>=1"), "--a N", "Do.  [x>=1]"),
        (
            cli_help.Parameter(("--a",), "N", "Do.", True, "3", "1<=x<=5"),
            "--a N",
            "Do.  [default: 3; 1<=x<=5; required]",
        ),
    ],
)
def test_a_parameter_is_shown_in_two_columns(
    parameter: cli_help.Parameter, left: str, right: str
) -> None:
    assert (parameter.left, parameter.right) == (left, right)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_has_every_parameter_of_its_command(path: tuple[str, ...], rslctl: Rslctl) -> None:
    shown = " ".join(rslctl(*path, "--help")[1].split())
    for each in cli_help.parameters(COMMANDS[path]):
        assert " ".join(f"{each.left} {each.right}".split()) in shown


@pytest.mark.parametrize(
    ("typed", "missing"),
    [("setup", "--board"), ("kick", "VECTOR"), ("remote-dt", "--board"), ("boards show", "NAME")],
)
def test_what_is_missing_is_named_with_the_usage(typed: str, missing: str, rslctl: Rslctl) -> None:
    status, out, err = rslctl(*typed.split())
    assert (status, out) == (2, "")
    assert "Missing " in err
    assert missing in err
    assert "env var" not in err
    _, shown, _ = rslctl(*typed.split(), "-h")
    assert err.splitlines()[0] == shown.splitlines()[0]


@pytest.mark.parametrize("words", ["", "kick", "boards", "boards show", "overlay"])
def test_help_is_a_word_too(words: str, rslctl: Rslctl) -> None:
    shown = rslctl(*words.split(), "--help")
    assert shown[::2] == (0, "")
    assert rslctl("help", *words.split()) == shown
    assert rslctl("help", "nothing")[:2] == (2, "")
