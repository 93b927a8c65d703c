# SPDX-License-Identifier: BSD-3-Clause
"""What has to be so on any machine before a link can come up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from rslctl.devicetree import tree
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.setup import host_checks

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.faults import no_tree, other_board, unsigned, whole


def test_a_machine_without_a_device_tree_is_told_why(machine: Machine) -> None:
    def said() -> tuple[str, str]:
        (found,) = host_checks.device_tree(machine.host, tree.from_machine(machine.host))
        return found.text.rpartition(": ")[2], found.remedy

    assert said() == ("sysfs is not mounted", "mount -t sysfs sysfs /sys")
    machine.write("/sys/kernel/uevent_seqnum", "1\n")
    assert said()[0] == "the boot loader gave the kernel none"
    no_tree(machine.with_device_tree())
    why, remedy = said()
    assert (why, "acpi=off" in remedy, "--board sim" in remedy) == (
        "ACPI describes its hardware",
        True,
        True,
    )
    machine.write(f"{DEVICE_TREE}/compatible", b"vendor,board\0")
    now = tree.from_machine(machine.host)
    assert list(host_checks.device_tree(machine.host, now)) == []


def test_another_board_than_the_named_one_is_called_by_its_name(
    machine: Machine, rslctl: Rslctl
) -> None:
    other_board(whole(machine))
    status, _, err = rslctl("setup", "--board", "qemu-virt", "--root", machine.root)
    assert status == 1
    assert "this machine is not board 'qemu-virt': its compatible is ['xlnx,zynqmp-zcu102-r" in err
    assert "hint: give the board that it is: --board zcu102\n" in err
    machine.write(f"{DEVICE_TREE}/compatible", b"vendor,none\0")
    machine.write("/etc/rslctl/boards/broken.toml", "x = \n")
    (found,) = host_checks.board(machine.host, machine.board, tree.from_machine(machine.host))
    assert found.remedy.startswith("write a profile of the board that it is; no profile here has")
    machine.write(
        "/etc/rslctl/boards/broken.toml", 'extends = "qemu-virt"\ncompatible = "vendor,none"'
    )
    (found,) = host_checks.board(machine.host, machine.board, tree.from_machine(machine.host))
    assert found.remedy == "give the board that it is: --board broken"


def test_a_module_that_the_kernel_would_not_load_is_told_before(machine: Machine) -> None:
    unsigned(whole(machine))
    (found,) = host_checks.signature(machine.host, "rsl_mbox")
    assert "scripts/sign-file" in found.remedy
    machine.write("/sys/firmware/efi/fw_platform_size", "64\n")
    (found,) = host_checks.signature(machine.host, "rsl_mbox")
    assert "mokutil --import /var/lib/dkms/mok.pub, reboot" in found.remedy
    machine.write("/sys/module/module/parameters/sig_enforce", "N\n")
    assert list(host_checks.signature(machine.host, "rsl_mbox")) == []
    machine.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    (found,) = host_checks.signature(machine.host, "rsl_mbox")
    assert "(lockdown=integrity)" in found.text
    machine.write("/sys/module/rsl_mbox/refcnt", "0\n")
    assert list(host_checks.signature(machine.host, "rsl_mbox")) == []


class Statvfs:
    """The answer of statvfs(3) for /run."""

    def __init__(self, flags: int, blocks: int, free: int) -> None:
        self.f_flag, self.f_blocks, self.f_bfree = flags, blocks, free


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Statvfs(0, 100, 50), ""),
        (Statvfs(os.ST_RDONLY, 100, 50), "/run cannot be written, and setup keeps"),
        (Statvfs(0, 100, 0), "/run is full, and setup keeps"),
        # ramfs has no size.
        (Statvfs(0, 0, 0), ""),
    ],
)
def test_a_run_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, found: Statvfs, text: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    said = list(host_checks.run_directory(Host()))
    assert [each.text[: len(text)] for each in said] == [text] * bool(text)
    assert all("mount -t tmpfs" in each.remedy for each in said)


def test_a_run_that_is_missing_is_told_of_a_running_machine_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(host_checks.run_directory(machine.host)) == []
    monkeypatch.setattr(Host, "live", True)
    (found,) = host_checks.run_directory(machine.host)
    assert found.text == "there is no /run, where setup keeps its journal"


def test_what_cannot_be_written_is_left_by_setup_with_a_remedy(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(machine)
    shutil.rmtree(machine.root / "run", ignore_errors=True)

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("mkdir", "makedirs"):
        monkeypatch.setattr(os, name, refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    # Below another root the lock needs no directory.
    monkeypatch.setattr(Host, "live", True)
    status, _, err = rslctl("setup", "--board", "qemu-virt", "--root", machine.root)
    assert status == 1
    assert "run/rslctl': Read-only file system\nhint: mount a tmpfs there, as most systems" in err
