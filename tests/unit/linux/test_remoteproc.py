# SPDX-License-Identifier: BSD-3-Clause
"""Remotes started and stopped by the kernel's remoteproc framework."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.linux import remoteproc
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import FIRMWARE, RECOVERY, STATE, set_up, was_written


def test_a_remote_that_runs_something_else_is_named(machine: Machine) -> None:
    set_up(machine).with_remote("running", "old.elf")
    with pytest.raises(RslError, match=r"remoteproc0 runs 'old\.elf', not 'new\.elf'"):
        remoteproc.start(machine.host, remoteproc.at(machine.host, "/remote"), "new.elf")


def test_a_crashed_remote_is_restarted_to_be_stopped_where_it_can_be(machine: Machine) -> None:
    set_up(machine).with_remote("crashed")
    processor = remoteproc.at(machine.host, "/remote")
    program = machine.path("/lib/firmware/remote.elf")
    program.rename(program.with_suffix(".hidden"))
    with pytest.raises(RslError, match=r"can only be stopped once it was restarted; there is no"):
        remoteproc.stop(machine.host, processor)
    assert machine.host.read_text(RECOVERY) == "enabled"
    # As Linux takes it.
    program.with_suffix(".hidden").rename(program.with_name("remote.elf.zst"))
    remoteproc.stop(machine.host, processor)
    assert machine.host.read_text(RECOVERY).startswith("recover")
    assert was_written(machine, "stop")


def test_a_start_that_the_kernel_only_says_it_made_is_told(machine: Machine) -> None:
    set_up(machine).with_remote("offline")
    host = Host(machine.root, lambda _: None)

    def write(self: Host, name: str, text: str) -> None:
        written.append((name.rpartition("/")[2], text))

    written: list[tuple[str, str]] = []
    machine.write("/lib/firmware/new.elf", b"")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RslError, match="and it is offline"):
        patch.setattr(Host, "write_attribute", write)
        remoteproc.start(host, remoteproc.at(host, "/remote"), "new.elf")
    # The program has its old name again.
    assert written == [("firmware", "new.elf"), ("state", "start"), ("firmware", "remote.elf")]


def test_an_attached_remote_is_fine_whatever_its_program(machine: Machine, rslctl: Rslctl) -> None:
    set_up(machine, start="setup", firmware="new.elf").with_remote("attached")
    machine.write(FIRMWARE, "unknown\n")
    machine.write("/lib/firmware/new.elf", b"")
    status, out, _ = rslctl("remote", "start", "--root", machine.root)
    assert (status, out) == (0, "rpu0: remoteproc0 (/remote): already running\n")


def test_a_firmware_that_is_not_there_is_named(machine: Machine) -> None:
    set_up(machine).with_remote("offline")
    with pytest.raises(RslError, match=r"there is no firmware '.*/lib/firmware/new\.elf' for rem"):
        remoteproc.start(machine.host, remoteproc.at(machine.host, "/remote"), "new.elf")
    assert machine.host.read_text(STATE) == "offline"
