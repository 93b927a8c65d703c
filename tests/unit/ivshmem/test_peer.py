# SPDX-License-Identifier: BSD-3-Clause
"""A program that is a machine of its own, and servers that are none."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.ivshmem import messages
from rslctl.ivshmem.peer import Peer

from tests.unit.ivshmem.served import SIZE, VECTORS, served


def test_a_side_finds_the_other_by_the_table(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with (
        served(path),
        Peer(str(path), VECTORS) as daemon,
        Peer(str(path), VECTORS) as remote,
    ):
        assert daemon.find("remote") is None
        remote.announce("remote")
        assert daemon.find("remote") == remote.number == 1
        assert daemon.find("daemon") is None
        daemon.announce("daemon")
        assert remote.find("daemon") == 0
        # As kmod/rsl_mbox/ivshmem.c reads it.
        table = os.pread(daemon.memory, 8, SIZE - 0x10000)
        assert table == bytes.fromhex("0000535201005352")
        os.pwrite(daemon.memory, b"\x01\0\x53\x53", SIZE - 0x10000 + 4)
        assert daemon.find("remote") is None


def test_no_server_is_told(tmp_path: Path) -> None:
    with pytest.raises(RslError, match=r"cannot connect to the ivshmem server at .*No such file"):
        Peer(str(tmp_path / "none"), 1)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([1, 0, -1], "the ivshmem server speaks version 1, not 0"),
        ([0, 5, 6], "the ivshmem server gives no memory"),
        ([0, 5, -1], "the ivshmem server gives no memory"),
        ([], "the ivshmem server has gone"),
    ],
)
def test_what_is_no_such_server_is_told(tmp_path: Path, told: list[int], said: str) -> None:
    path = tmp_path / "link.sock"
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def tell() -> None:
            sock, _ = listener.accept()
            # The peer may have hung up before the last of them.
            with sock, contextlib.suppress(BrokenPipeError):
                for number in told:
                    messages.send(sock, number)

        thread = threading.Thread(target=tell)
        thread.start()
        with pytest.raises(RslError, match=said):
            Peer(str(path), 1)
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(RslError, match="timed out"):
            Peer(str(path), 1, timeout=0.1)


def test_a_server_with_fewer_vectors_is_told(tmp_path: Path) -> None:
    with (
        served(tmp_path / "s"),
        pytest.raises(RslError, match=f"gives {VECTORS} vectors, not {VECTORS + 1}"),
    ):
        Peer(str(tmp_path / "s"), VECTORS + 1, timeout=0.2)
