# SPDX-License-Identifier: BSD-3-Clause
"""Messages to the service manager, which is played here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from rslctl.linux import sd_notify


@pytest.mark.parametrize(("told", "known"), [(None, None), ("", None), ("/run/x", "/run/x")])
def test_a_process_knows_whether_it_has_a_manager(
    monkeypatch: pytest.MonkeyPatch, told: str | None, known: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if told is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", told)
    assert sd_notify.address() == known


@pytest.mark.parametrize("form", ["{}/notify", "@{}/notify"])
def test_a_message_goes_to_a_path_or_to_a_name_without_a_file(tmp_path: Path, form: str) -> None:
    address = form.format(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        sd_notify.send(address, "READY=1\nSTATUS=é")
        assert manager.recv(100).decode() == "READY=1\nSTATUS=é"
    assert (tmp_path / "notify").exists() == (address[0] == "/")


def test_descriptors_go_with_their_message(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    fd = os.memfd_create("x")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        sd_notify.send(path, "FDSTORE=1", [fd, fd])
        data, fds, _, _ = socket.recv_fds(manager, 100, 10)
    assert data == b"FDSTORE=1"
    assert [os.fstat(each).st_ino for each in fds] == [os.fstat(fd).st_ino] * 2
    for each in (fd, *fds):
        os.close(each)


def test_a_manager_that_is_not_there_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sd_notify.send(str(tmp_path / "none"), "READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(tmp_path / "gone"))
    with pytest.raises(ConnectionRefusedError):
        sd_notify.send(str(tmp_path / "gone"), "READY=1")
