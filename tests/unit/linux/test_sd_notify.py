# SPDX-License-Identifier: BSD-3-Clause
"""Messages to the service manager, which a socket plays here.

It plays the manager's end in src/core/manager.c of systemd (manager_dispatch_notify_fd), and leaves
out what systemd does with a message.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from rslctl.linux import sd_notify


@pytest.mark.parametrize("abstract", [False, True])
def test_a_message_and_its_descriptors_arrive(tmp_path: Path, abstract: bool) -> None:
    name = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        sd_notify.send(name, "READY=1")
        assert socket.recv_fds(manager, 4096, 4)[:2] == (b"READY=1", [])
        with open(os.devnull) as file:
            sd_notify.send(name, "FDSTORE=1\nFDNAME=shmem", [file.fileno()])
        message, (fd,), _, _ = socket.recv_fds(manager, 4096, 4)
        assert message == b"FDSTORE=1\nFDNAME=shmem"
        assert os.path.samestat(os.fstat(fd), os.stat(os.devnull))
        os.close(fd)


def test_a_manager_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sd_notify.send(str(tmp_path / "none"), "READY=1")


def test_a_process_without_a_manager_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert sd_notify.address() is None
    monkeypatch.setenv("NOTIFY_SOCKET", "")
    assert sd_notify.address() is None
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    assert sd_notify.address() == "@x"
