# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl doctor``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command_line import Rslctl
from tests.unit.boot.support import options, prepare, rslctl_install
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import PCI, Machine
from tests.unit.programs import needs_dtc
from tests.unit.setup.faults import LINK, in_ram, stalled, whole


def test_findings_are_told_even_where_the_report_cannot_be_written(
    machine: Machine, rslctl: Rslctl
) -> None:
    stalled(whole(machine))
    arguments = ("doctor", "--board", "qemu-virt", "--root", machine.root)
    status, out, err = rslctl(*arguments, "--report", "/nonexistent/x")
    assert status == 1
    assert "error: stalled:" in out
    assert "cannot write '/nonexistent/x'" in err


def test_the_doctor_tells_and_ends_with_what_it_found(machine: Machine, rslctl: Rslctl) -> None:
    whole(machine)
    arguments = ("doctor", "--board", "qemu-virt", "--root", machine.root)
    assert rslctl(*arguments) == (0, "nothing is wrong that can be seen\n", "")
    stalled(machine)
    status, out, _ = rslctl(*arguments)
    assert status == 1
    assert out.startswith("error: stalled: rpu0: the remote has not taken a kick for 1500 ms\n    ")
    assert out.endswith("\n1 error\n")
    assert [each["check"] for each in json.loads(rslctl(*arguments, "--json")[1])] == ["stalled"]


def test_the_doctor_knows_the_board_that_was_set_up(machine: Machine, rslctl: Rslctl) -> None:
    whole(machine)
    in_ram(machine)
    assert "System RAM" not in rslctl("doctor", "--root", machine.root)[1]
    machine.with_journal({})
    assert "System RAM" in rslctl("doctor", "--root", machine.root)[1]


def test_a_report_has_what_was_seen(machine: Machine, rslctl: Rslctl, tmp_path: Path) -> None:
    whole(machine).with_journal({})
    before = {path: path.read_bytes() for path in machine.root.rglob("*") if path.is_file()}
    report = tmp_path / "report.json"
    rslctl("doctor", "--report", report, "--root", machine.root)
    document = json.loads(report.read_text())
    assert document["board"] == "qemu-virt"
    assert document["files"][f"{LINK}/label"] == "rpu0"
    assert "/run/rslctl/rpu0.json" in document["files"]
    assert "/rsl-mbox@8020040" in document["device_tree"]
    after = {path: path.read_bytes() for path in machine.root.rglob("*") if path.is_file()}
    assert {k: v for k, v in after.items() if k != report} == before


def test_a_report_has_the_device_of_a_link_to_another_machine(
    machine: Machine, rslctl: Rslctl, tmp_path: Path
) -> None:
    machine.with_ivshmem()
    report = tmp_path / "report.json"
    words = ("doctor", "--board", "ivshmem", "--report", report, "--root", machine.root)
    _, _, err = rslctl(*words)
    assert "rslctl: links to other virtual machines: nothing is looked at in a device tree\n" in err
    files = json.loads(report.read_text())["files"]
    assert files[f"/sys/bus/pci/devices/{PCI}/role"] == "none"


@needs_dtc
def test_an_overlay_whose_base_was_replaced_is_told_by_doctor_and_setup(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "dtb")
    assert rslctl_install(machine, rslctl, *options("dtb"))[0] == 3
    assert "stale" not in rslctl("doctor", "--board", "qemu-virt", "--root", machine.root)[1]
    machine.write("/boot/board.dtb", dtc(BASE.replace("// more", "new { };")))
    _, out, _ = rslctl("doctor", "--board", "qemu-virt", "--root", machine.root)
    assert "warning: stale: the overlay of board 'qemu-virt' for dtb is stale: /boot/board.d" in out
    assert "    before the next boot: rslctl overlay install fits it anew" in out
    _, _, err = rslctl("setup", "--board", "qemu-virt", "--root", machine.root, "--dry-run")
    assert "rslctl: stale: the overlay of board 'qemu-virt' for dtb is stale: /boot/boar" in err
    machine.write("/var/lib/rslctl/overlay/qemu-virt/record.json", "{}")
    _, out, _ = rslctl("doctor", "--board", "qemu-virt", "--root", machine.root)
    assert "unknown: stale: cannot tell: '" in out
