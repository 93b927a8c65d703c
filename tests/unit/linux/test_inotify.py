# SPDX-License-Identifier: BSD-3-Clause
"""Being told of writes to a file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux import inotify


def test_a_write_is_told_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("running")
    with inotify.Writes(str(path)) as writes:
        path.read_text()
        assert not writes.wait(0)
        path.write_text("stop")
        assert writes.wait(0)
    with pytest.raises(RslError, match=r"cannot watch .*none': No such file"):
        inotify.Writes(str(tmp_path / "none"))


def test_a_write_that_comes_later_ends_the_wait_for_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("running")
    with inotify.Writes(str(path)) as writes:
        threading.Timer(0.05, path.write_text, ("stop",)).start()
        assert writes.wait(30)


def test_what_is_closed_twice_closes_nobody_elses_descriptor(tmp_path: Path) -> None:
    writes = inotify.Writes(str(tmp_path))
    writes.close()
    with open(os.devnull) as other:
        writes.close()
        assert os.fstat(other.fileno())
