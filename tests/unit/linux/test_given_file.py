# SPDX-License-Identifier: BSD-3-Clause
"""A file that the user names, which may be a pipe."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux import given_file


def test_a_pipe_is_read_while_somebody_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(RslError, match=f"'{path}': it is a pipe without a writer"):
        given_file.read(path)
    ours, theirs = os.pipe()

    def write() -> None:
        os.write(theirs, b"late")
        os.close(theirs)

    threading.Timer(0.1, write).start()
    assert given_file.read(f"/dev/fd/{ours}") == b"late"
    os.close(ours)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert given_file.read(path) == path.read_bytes()
