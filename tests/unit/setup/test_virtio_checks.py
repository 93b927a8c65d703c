# SPDX-License-Identifier: BSD-3-Clause
"""What the back-ends of virtio devices need; test_doctor.py has each finding once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from rslctl.linux.host import Host
from rslctl.profile import model
from rslctl.setup import virtio_checks
from rslctl.setup.checks import Finding

from tests.unit.machine import Machine
from tests.unit.setup.faults import left_socket, with_devices, with_tap, with_vhost


def look(machine: Machine, *words: str, version: int = 1) -> list[Finding]:
    return of(machine.host, with_devices(machine, *words, version=version))


def of(host: Host, board: model.Board) -> list[Finding]:
    return list(virtio_checks.back_ends(host, board.links[0]))


def test_nothing_is_missing_for_words_that_leave_the_back_end_to_the_command_line(
    machine: Machine,
) -> None:
    words = ("rng", "console", "net", "vsock", "blk", "fs", "device,id=41,queues=2")
    assert look(machine, *words) == []


def test_a_link_without_virtio_has_no_finding(machine: Machine) -> None:
    board = with_devices(machine)
    (link,) = board.links
    assert list(virtio_checks.back_ends(machine.host, link)) == []


def test_firmware_that_wants_9p_of_the_rsl_daemon_is_right(machine: Machine) -> None:
    assert look(machine, "rng", "9p", "net") == []
    for words in (("9p", "console,pty=/run/c"), ("9p,region=0x8000",)):
        (found,) = look(machine, *words)
        assert (found.check, found.level) == ("no-back-end", "error")


def test_a_module_that_is_loaded_when_it_is_used_is_not_missing(machine: Machine) -> None:
    release = os.uname().release
    path = f"/lib/modules/{release}/modules.dep"
    machine.write(path, "kernel/drivers/vhost/vhost_vsock.ko.xz: kernel/drivers/vhost/vhost.ko.xz")
    (found,) = look(machine, "vsock,cid=42")
    assert (found.check, found.remedy) == ("vhost", "modprobe vhost_vsock")
    machine.write("/dev/vhost-vsock", b"")
    assert look(machine, "vsock,cid=42") == []


def test_a_driver_that_is_built_in_needs_no_module(machine: Machine) -> None:
    with_vhost(machine, "vhost-vsock")
    assert look(machine, "vsock,cid=42") == []
    machine.path("/dev/vhost-vsock").unlink()
    (found,) = look(machine, "vsock,cid=42")
    assert (found.check, found.remedy) == ("vhost", "is devtmpfs mounted on /dev?")


@pytest.mark.parametrize(
    ("flags", "tun", "level", "text"),
    [
        ("0x1003", "0x5002", None, ""),
        ("0x1002", "0x5002", "warning", "tap7 is down"),
        ("0x1003", "0x5001", "error", "tap7 is no tap"),
        ("0x1003", "0x5102", "error", "tap7 has several queues"),
    ],
)
def test_a_tap_has_to_be_up_and_of_one_queue(
    machine: Machine, flags: str, tun: str, level: str | None, text: str
) -> None:
    with_vhost(machine, "vhost-net")
    with_tap(machine, "tap7", flags, tun)
    found = look(machine, "net,tap=tap7")
    assert [each.level for each in found] == [level] * (level is not None)
    assert all(each.check == "tap" and text in each.text for each in found)


def test_an_interface_that_is_no_tap_is_told(machine: Machine) -> None:
    with_vhost(machine, "vhost-net")
    machine.write("/sys/class/net/eth0/flags", "0x1003\n")
    (found,) = look(machine, "net,tap=eth0")
    assert "network interface eth0 is no tap" in found.text
    assert "ip tuntap add dev eth0 mode tap" in found.remedy


def test_the_rsl_daemons_tap_is_not_looked_at_for_another_back_end(machine: Machine) -> None:
    machine.write("/sys/class/net/tap0/flags", "0x1002\n")
    assert [each.check for each in look(machine, "net,mac=02:00:00:00:00:01")] == ["tap"]
    assert [each.check for each in look(machine, "net,socket=/run/passt")] == ["socket"]


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("net,socket={}", "passt --vhost-user --socket {}"),
        ("blk,socket={}", "qemu-storage-daemon --blockdev"),
        ("vsock,socket={}", "vhost-device-vsock --guest-cid=N --uds-path=PATH --socket={}"),
        ("fs,tag=x,socket={}", "virtiofsd --socket-path={} --shared-dir DIRECTORY"),
        ("device,id=41,queues=2,socket={}", "a vhost-user back-end of this device"),
    ],
)
def test_a_back_end_is_seen_by_its_socket(
    machine: Machine, tmp_path: Path, word: str, command: str
) -> None:
    path = str(tmp_path / "s")
    board = with_devices(machine, word.format(path))
    (found,) = of(Host(), board)
    assert f"there is no socket '{path}'" in found.text
    assert command.format(path) in found.remedy
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert of(Host(), board) == []
        # As virtiofsd, which does not listen any more once it has a connection.
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(path)
            accepted, _ = listener.accept()
            with accepted:
                listener.close()
                assert of(Host(), board) == []
    (found,) = of(Host(), board)
    assert f"nobody listens at '{path}'" in found.text
    os.unlink(path)
    Path(path).write_text("")
    (found,) = of(Host(), board)
    assert f"'{path}' is no socket" in found.text


def test_a_look_at_a_socket_connects_to_nothing(machine: Machine, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        assert of(Host(), with_devices(machine, f"blk,socket={path}")) == []
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_path_with_a_space_or_by_another_name_is_the_same_socket(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "a  b"
    directory.mkdir()
    (tmp_path / "link").symlink_to(directory)
    monkeypatch.chdir(directory)
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(f"{directory}/s")
        second.bind("./t")
        for path in (f"{tmp_path}/link/s", f"{directory}/s", f"{directory}/t"):
            assert of(Host(), with_devices(machine, f"blk,socket={path}")) == []


def test_a_console_makes_its_own_socket(machine: Machine) -> None:
    assert look(machine, "console,socket=/run/console") == []


def test_what_cannot_be_seen_is_unknown(machine: Machine) -> None:
    (found,) = look(machine, "blk,socket=run/blk")
    assert (found.level, "relative" in found.text) == ("unknown", True)
    board = left_socket(machine)
    machine.path("/proc/net/unix").unlink()
    (found,) = of(machine.host, board)
    assert (found.level, "cannot tell" in found.text) == ("unknown", True)


def device(**changes: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "name": "net",
        "version": 1,
        "state": "running",
        "features_offered": 0x3100_0021,
        "features_taken": 0x21,
    }
    return {**usual, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {},  # features of the rings only are left
        {"state": "offered", "features_taken": None},
        {"version": 2, "features_offered": None, "features_taken": None},
        {"state": "left", "features_taken": 0},
        {"state": "negotiating", "features_taken": None},
    ],
)
def test_a_device_that_is_right_or_not_known_has_no_finding(changes: dict[str, object]) -> None:
    assert list(virtio_checks.headers("rpu0", [device(**changes)])) == []
