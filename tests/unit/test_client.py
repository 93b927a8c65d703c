# SPDX-License-Identifier: BSD-3-Clause
"""The public interface for daemons: what it takes, and what it refuses."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.linux import fd_passing

from tests.unit.daemon.support import open_descriptors, play, program
from tests.unit.daemon.support import path as path
from tests.unit.daemon.support import serving as serving

GOOD = b'{"version": 1, "link": "l", "vectors": %s, "memory": %s, "descriptors": %s}'
MEMORY = b'{"base": 0, "size": 4611686018427387904, "offset": 0}'


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "the manifest is not understood"),
        (b"{", "the manifest is not understood"),
        (b"[]", "the manifest is not understood"),
        (b'{"version": 2}', "the manifest has version 2, this library knows 1"),
        (b'{"version": 1, "error": "no"}', "^no$"),
        (b'{"version": 1, "descriptors": ["a", "b"]}', "the manifest is not understood"),
        (GOOD % (b"4", b"null", b'["a", "b"]'), "gave 1 descriptors, not 2"),
        (GOOD % (b"1000000000000", b"null", b'["a"]'), "the manifest is not understood"),
        (GOOD % (b"true", b"null", b'["a"]'), "the manifest is not understood"),
        (GOOD % (b"4", b"{}", b'["a"]'), "the manifest is not understood"),
        (GOOD % (b"4", MEMORY, b'["a"]'), "no descriptor shmem, the manifest has memory"),
        (GOOD % (b"4", b"null", b'["shmem"]'), "descriptor shmem, the manifest has no memory"),
        (GOOD % (b"4", b"null", b'["a"]'), "descriptor mbox is missing, or notify0 of 4 vectors"),
        (GOOD % (b"4", b"null", b'["mbox"]') + b" " * 65536, "longer than 65536 bytes"),
        (GOOD % (b"4", MEMORY, b'["shmem"]'), "map the memory|no such memory"),
        (b"[" * 30000, "the manifest is not understood"),
    ],
)
def test_a_client_refuses_what_it_does_not_understand_and_keeps_nothing(
    path: Path, reply: bytes, text: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                if reply:
                    socket.send_fds(connection, [reply], [0])

        thread = threading.Thread(target=answer)
        thread.start()
        before = open_descriptors()
        with pytest.raises(RslError, match=text):
            client.receive(path)
        thread.join()
        assert open_descriptors() <= before


def test_a_client_without_a_broker_is_told(path: Path) -> None:
    with pytest.raises(RslError, match=r"cannot ask the broker at .*: No such file"):
        client.receive(path)


def test_a_process_that_was_given_no_link_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in ("1", str(os.getpid())):
        monkeypatch.setenv("LISTEN_PID", pid)
        with pytest.raises(client.NoLinkError):
            client.receive()


def test_a_link_that_is_closed_takes_no_more(serving: int, path: Path) -> None:
    link = client.receive(path)
    link.close()
    for use in (lambda: link.kick(0), lambda: link.wait(0), link.fileno, lambda: link.memory):
        with pytest.raises(RslError):
            use()


def test_descriptors_that_are_not_open_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "manifest")
    monkeypatch.setattr(fd_passing, "START", 999)
    with pytest.raises(RslError, match="cannot use the descriptors that LISTEN_FDS tells of"):
        client.receive()


def test_kicks_coalesce_and_never_block(tmp_path: Path) -> None:
    daemon = """
        with client.receive() as link:
            for _ in range(1000):
                link.kick(1, 3)
            os.write(link.fds["kick2"], (2**64 - 3).to_bytes(8, "little"))
            for _ in range(5):
                link.kick(2)
            link.ready()
            print(link.wait(10))
    """
    remote = """
        with client.receive() as link:
            assert link.wait(0) == [1, 2, 3]
            assert link.wait(0) == []
            link.kick(0)
            link.wait()
    """
    status, out, err = play(
        program(tmp_path, "r", remote), program(tmp_path, "d", daemon), "--once-ready"
    )
    assert (status, out, err) == (0, "[0]\n", "")


def test_a_wait_of_no_time_or_less_does_not_wait(tmp_path: Path) -> None:
    daemon = """
        with client.receive() as link:
            print(link.wait(0), link.wait(-1))
    """
    assert play("sleep 100", program(tmp_path, "d", daemon))[1] == "[] []\n"
