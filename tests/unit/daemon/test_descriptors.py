# SPDX-License-Identifier: BSD-3-Clause
"""The descriptors that a daemon is given."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from rslctl.daemon import descriptors, manifest
from rslctl.errors import RslError
from rslctl.profile import reader
from rslctl.region import Region

from tests.command_line import Rslctl
from tests.unit.machine import PCI, Machine


def test_a_link_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    board = reader.load("sim")
    left = [7]

    def eventfd(*_: int) -> int:
        left[0] -= 1
        if not left[0]:
            raise OSError(24, "Too many open files")
        return os.memfd_create("x")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "eventfd", eventfd)
    with pytest.raises(RslError, match="cannot make link 'rpu0' with 0x1000000 bytes"):
        descriptors.of_programs(board, board.links[0])
    assert os.listdir("/proc/self/fd") == before


def test_memory_that_no_file_can_have_is_told(tmp_path: Path, rslctl: Rslctl) -> None:
    profile = tmp_path / "large.toml"
    profile.write_text(
        'extends = "sim"\n[[link]]\nname = "rpu0"\nremote-dt = false\n'
        "[link.memory]\nbase = 0\nsize = 0x8000000000000000\n"
    )
    status, _, err = rslctl("run", "--board", profile, "--remote", "true", "--", "true")
    assert (status, "0x8000000000000000 bytes of memory" in err) == (1, True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_the_names_of_descriptors_are_known_before_they_are_made(machine: Machine) -> None:
    machine.with_link(vectors=2)
    source = descriptors.Source(machine.host, None, eventfds=False)
    assert source.names == ["shmem", "mbox", "manifest"]
    rings = ["notify0", "notify1", "kick0", "kick1"]
    source = descriptors.Source(machine.host, "rpu0", eventfds=True)
    assert source.names == ["shmem", *rings, "manifest"]


def test_addresses_of_a_link_to_another_machine_count_from_its_memory(machine: Machine) -> None:
    machine.with_ivshmem()
    for shown, role in (("none", "daemon"), ("daemon", "daemon"), ("remote", "remote")):
        machine.write(f"/sys/devices/pci0000:00/{PCI}/role", f"{shown}\n")
        about = descriptors.Source(machine.host, None, eventfds=False).about
        assert (about.role, about.transport, about.memory) == (
            role,
            "ivshmem",
            Region(0, 0x3F0000),
        )
        document = manifest.document(about, [])
        assert document["memory"]["remote_base"] == 0


def test_a_side_that_another_machine_took_is_the_profiles(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/label", "vm0\n")
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "lost\n")
    facts = {"board": "ivshmem-remote", "transport": "ivshmem", "node": PCI}
    machine.with_journal(facts, "vm0")
    assert descriptors.Source(machine.host, None, eventfds=False).about.role == "remote"


def test_a_link_that_is_named_need_not_be_up_yet(machine: Machine) -> None:
    source = descriptors.Source(machine.host, "rpu0", eventfds=False)
    with pytest.raises(RslError, match="no link is up"):
        source()
    machine.with_link()
    assert source.device.name == "rpu0"
    with pytest.raises(RslError, match="no link is up"):
        descriptors.Source(Machine(machine.root / "empty").host, None, eventfds=False)


def test_what_is_no_device_of_a_link_is_not_given_away(machine: Machine) -> None:
    machine.with_link()
    assert machine.host.exists("/dev")  # from now on it has the root open
    before = os.listdir("/proc/self/fd")
    for eventfds in (False, True):
        source = descriptors.Source(machine.host, "rpu0", eventfds=eventfds)
        with pytest.raises(RslError, match="cannot ask the name of '/dev/rsl_mbox0'"):
            source()
    assert os.listdir("/proc/self/fd") == before


def test_the_profile_of_a_link_that_was_set_up_is_known(machine: Machine) -> None:
    assert descriptors.known(machine.host, "rpu0") == (None, None)
    machine.with_journal({})
    assert descriptors.known(machine.host, "rpu0") == ("qemu-virt", machine.board.links[0])


def test_a_setup_of_the_link_is_seen(machine: Machine) -> None:
    machine.with_link()
    source = descriptors.Source(machine.host, "rpu0", eventfds=False)
    assert source.about.board is None
    machine.with_journal({})
    assert source.about.board == "qemu-virt"


def test_a_kick_of_one_program_is_the_notification_of_the_other() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        assert (
            list(daemon.fds)
            == list(remote.fds)
            == json.loads(os.pread(remote.fds["manifest"], 65536, 0))["descriptors"]
        )
        for one, other in ((daemon, remote), (remote, daemon)):
            os.eventfd_write(one.fds["kick2"], 1)
            assert os.eventfd_read(other.fds["notify2"]) == 1
            os.pwrite(one.fds["shmem"], one.about.role.encode(), 0)
            assert os.pread(other.fds["shmem"], 6, 0) == one.about.role.encode()
