# SPDX-License-Identifier: BSD-3-Clause
"""The machine that --root names."""

from __future__ import annotations

from pathlib import Path

import pytest
from rslctl.cli import machine
from rslctl.errors import UsageError


def test_a_root_that_is_no_directory_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "none"):
        with pytest.raises(UsageError, match=f"--root: '{tmp_path}/{name}' is not a directory"):
            machine.host(str(tmp_path / name))


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert machine.host(str(tmp_path / "link")).root == tmp_path / "real"
    assert machine.host("//").live


def test_changes_are_told_where_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verbose in (False, True):
        machine.host(str(tmp_path), verbose).watch("write 'x' to 'y'")
    assert capsys.readouterr() == ("", "rslctl: write 'x' to 'y'\n")
