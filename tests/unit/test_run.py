# SPDX-License-Identifier: BSD-3-Clause
"""Who a daemon becomes and what it finds, and the manifest: what needs no link."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Rslctl
from tests.unit.machine import Machine

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--group", "daemon"), "--group and --groups go with --user"),
        (("--board", "sim"), "--board and --remote go together"),
        (("--remote", "true"), "--board and --remote go together"),
        (("--once-ready",), "--once-ready and --with-remote go with --remote"),
        (("--legacy", "--eventfd"), "--legacy passes no descriptors"),
        (("--legacy", "--board", "sim", "--remote", "x"), "--legacy passes no descriptors"),
        (("--board", "sim", "--remote", "'"), "No closing quotation"),
        (("--board", "sim", "--remote", ""), "the command is empty"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    rslctl: Rslctl, arguments: tuple[str, ...], text: str
) -> None:
    status, _, err = rslctl("run", *arguments, "--", "true")
    assert status == 2
    assert text in err


def test_a_board_without_hardware_is_not_set_up(rslctl: Rslctl, machine: Machine) -> None:
    for command in ("setup", "doctor", "overlay", "remote-dt"):
        status, _, err = rslctl(command, "--board", "sim")
        assert (status, err.splitlines()[0]) == (
            1,
            "rslctl: link 'rpu0' of board 'sim' has no hardware",
        )
