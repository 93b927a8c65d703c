# SPDX-License-Identifier: BSD-3-Clause
"""What ``rslctl monitor`` makes of its arguments."""

from __future__ import annotations

import pytest
from rslctl.cli.commands.monitor import render

from tests.command_line import Rslctl
from tests.unit.machine import Machine

NOTIFICATION: dict[str, str | int] = {
    "link": "rpu0",
    "vector": 3,
    "time": 12_000_000_345,
    "count": 7,
}


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("%l/%v", "rpu0/3"),
        ("%t %c", "12.000000345 7"),
        ("100%% %%v", "100% %v"),
        ("", ""),
    ],
)
def test_a_format_says_what_a_line_has(form: str, line: str) -> None:
    assert render(form, NOTIFICATION) == line


@pytest.mark.parametrize(("form", "named"), [("%v %q", "%q"), ("%", "%"), ("%%%", "%")])
def test_an_unknown_specifier_is_a_usage_error(rslctl: Rslctl, form: str, named: str) -> None:
    status, out, err = rslctl("monitor", "--format", form)
    assert (status, out) == (2, "")
    assert err == f"rslctl: --format: '{named}' is not one of %l, %v, %t, %c, %%\n"


def test_a_vector_that_the_link_lacks_is_refused(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link(vectors=4)
    status, _, err = rslctl("monitor", "0", "4", "--root", machine.root)
    assert status == 1
    assert "has no vector 4" in err
