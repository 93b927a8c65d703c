# SPDX-License-Identifier: BSD-3-Clause
"""Overlays: source and blob say the same, and apply to a base as dtc understands them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Rslctl

REPOSITORY = Path(__file__).parents[2]


def test_files_are_written_by_their_suffix(tmp_path: Path, rslctl: Rslctl) -> None:
    for name in ("x.dtso", "x.dtbo"):
        assert rslctl("overlay", "--board", "qemu-virt", "-o", tmp_path / name)[:2] == (0, "")
    assert (tmp_path / "x.dtso").read_text().startswith("// SPDX-License-Identifier")
    assert (tmp_path / "x.dtbo").read_bytes()[:4] == b"\xd0\x0d\xfe\xed"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "x.dts"], 2, "rslctl: -o: 'x.dts' has to end in .dtso or .dtbo\n"),
        (["--merge", "x.dtb"], 2, "rslctl: --merge needs --base\n"),
        (["--base", "/nowhere/x.dtb"], 1, "rslctl: cannot read base device tree '/nowhere/x.dtb'"),
        (["-o", "/nowhere/x.dtbo"], 1, "rslctl: cannot write '/nowhere/x.dtbo': No such file"),
    ],
)
def test_a_wrong_file_is_named(
    rslctl: Rslctl, arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = rslctl("overlay", "--board", "qemu-virt", *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith(message)
