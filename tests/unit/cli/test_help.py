# SPDX-License-Identifier: BSD-3-Clause
"""Commands below commands: which one was meant."""

from __future__ import annotations

import pytest

from tests.command_line import Rslctl


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
    assert "Stop the remote, whose daemon has to be stopped before." in " ".join(out.split())
