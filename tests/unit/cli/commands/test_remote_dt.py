# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl remote-dt``."""

from __future__ import annotations

import pytest

from tests.command_line import Rslctl


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "x.txt"], 2, "rslctl: -o: 'x.txt' is not one of dtb, dts, zephyr, header"),
        (["--format", "yaml"], 2, "rslctl: --format: 'yaml' is not one of"),
        (["--place", "-o", "x.dtb"], 2, "rslctl: --place takes neither --format nor -o"),
        (["-o", "/nowhere/x.h"], 1, "rslctl: cannot write '/nowhere/x.h': No such file"),
    ],
)
def test_a_wrong_form_is_named(
    rslctl: Rslctl, arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = rslctl("remote-dt", "--board", "qemu-virt", *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith(message)


def test_a_profile_without_room_cannot_be_placed(rslctl: Rslctl) -> None:
    status, _, err = rslctl("remote-dt", "--board", "imx8mp-evk", "--place")
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: the profile keeps no room for it in link 'm7'",
    )
