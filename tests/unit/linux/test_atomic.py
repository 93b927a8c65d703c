# SPDX-License-Identifier: BSD-3-Clause
"""Files that are replaced, or stay as they were."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from rslctl.errors import RslError
from rslctl.linux.host import Host


def test_a_file_that_is_put_keeps_its_mode_and_leaves_nothing_beside_it(host: Host) -> None:
    path = host.root / "boot/conf"
    path.write_text("old")
    path.chmod(0o640)
    host.put("/boot/conf", b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert host.names("/boot") == ["conf"]


def test_a_file_that_cannot_be_put_is_as_it_was(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    host.put("/boot/conf", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RslError, match=r"cannot write '.*/boot/conf': No space left on device"):
        host.put("/boot/conf", b"new")
    assert host.read("/boot/conf") == b"old"
    assert host.names("/boot") == ["conf"]


def test_a_new_file_runs_as_nobody_else(host: Host) -> None:
    (host.root / "boot/file").touch()
    (host.root / "boot/file").chmod(0o4755)
    host.put("/boot/file", b"x")
    assert stat.S_IMODE((host.root / "boot/file").stat().st_mode) == 0o755
