# SPDX-License-Identifier: BSD-3-Clause
"""The socket of a service: its birth, its end, and what others put in its place."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux import fd_passing, listening

from tests.unit.racing import racing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.sock"


@pytest.mark.parametrize("kind", ["closed", "file", "datagram"])
def test_what_is_no_socket_of_a_unit_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, open("/dev/null") as file:
        number = {"closed": 999, "file": file.fileno(), "datagram": datagram.fileno()}[kind]
        monkeypatch.setattr(fd_passing, "START", os.dup(number) if number < 999 else 999)
        with pytest.raises(RslError, match=r"of the service manager|no such socket"):
            listening._inherited()


def test_a_second_service_is_refused_and_a_dead_ones_socket_is_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with (
        listening.listening(path, 0o666),
        pytest.raises(RslError, match="another process serves at"),
        listening.listening(path, 0o666),
    ):
        pass
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(RslError, match="Address already in use"), listening.listening(path, 0o666):
        pass
    assert path.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o666, 0o660])
def test_the_socket_has_its_mode_from_its_birth(path: Path, mode: int) -> None:
    mask = os.umask(0o077)
    try:
        with listening.listening(path, mode):
            assert path.stat().st_mode & 0o777 == mode
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)


def test_who_puts_a_link_in_the_sockets_place_changes_no_other_file(path: Path) -> None:
    victim = path.parent / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    program = "path = sys.argv[1]\nos.unlink(path)\nos.symlink('victim', path)\nos.unlink(path)\n"
    with racing(program, path):
        for _ in range(10_000):
            with contextlib.suppress(RslError), listening.listening(path, 0o666):
                pass
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o600)


def test_no_directory_is_made_for_a_socket(path: Path) -> None:
    with (
        pytest.raises(RslError, match="No such file or directory"),
        listening.listening(path.parent / "a/b", 0o666),
    ):
        pass
    assert not (path.parent / "a").exists()
