# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl ivshmem-server``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.ivshmem.peer import Peer

from tests.command_line import TOOLS, Rslctl


def test_it_serves_until_it_is_told_to_end_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with subprocess.Popen(
        [sys.executable, "-m", "rslctl", "ivshmem-server", path, "--size", "1M", "--vectors", "3"],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said == f"rslctl: serving 0x100000 bytes and 3 vectors at {path}\n"
        assert path.stat().st_mode & 0o777 == 0o660
        with Peer(str(path), 3) as one:
            assert (one.number, one.size) == (0, 1 << 20)
            assert process.stderr.readline() == "rslctl: machine 0 has come\n"
        assert process.stderr.readline() == "rslctl: machine 0 has gone\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--size", "3M"), 1, "3145728 bytes of shared memory are not a power of two from 131072"),
        (("--size", "4Q"), 2, "'4Q' is not a number of bytes, as 0x400000 or 4M"),
        (("--size", ""), 2, "'' is not a number of bytes"),
        (("--vectors", "0"), 1, "0 vectors are not 1 to 32"),
    ],
)
def test_what_cannot_be_served_is_told(
    rslctl: Rslctl, tmp_path: Path, options: tuple[str, str], status: int, said: str
) -> None:
    path = tmp_path / "link.sock"
    found, _, err = rslctl("ivshmem-server", path, *options)
    assert (found, said in err) == (status, True), err
    assert not path.exists()


def test_a_directory_that_is_not_there_is_named(rslctl: Rslctl, tmp_path: Path) -> None:
    status, _, err = rslctl("ivshmem-server", tmp_path / "none/link.sock")
    assert (status, "No such file or directory" in err) == (1, True)
