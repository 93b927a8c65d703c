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
