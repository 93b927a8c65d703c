# SPDX-License-Identifier: BSD-3-Clause
"""Links to other virtual machines, set up on a machine made of files."""

from __future__ import annotations

import json

import pytest
from rslctl.errors import RslError
from rslctl.setup.ivshmem_steps import RoleTaken

from tests.command_line import Rslctl
from tests.unit.machine import PCI, Machine
from tests.unit.setup.support import ivshmem_up as up


def test_setup_gives_the_device_its_name_and_role_and_teardown_takes_them(
    machine: Machine, rslctl: Rslctl
) -> None:
    """Of a machine without any device tree."""
    machine.with_ivshmem()
    said = up(machine)
    assert said[-1] == (f"{PCI} is link vm0 with role daemon", "done")
    assert [result for _, result in said[:-1]] == ["already", "already", "already", "ok"]
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == "vm0"
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "daemon"
    assert {result for _, result in up(machine)} == {"already", "ok"}
    status, out, err = rslctl("teardown", "--root", machine.root)
    assert status == 0, err
    assert out.startswith(f"vm0: role (device {PCI}, label {PCI}, role none): undone")
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == PCI
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "none"


def test_other_memory_than_planned_is_refused_and_nothing_changes(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/memory_size", "0x7f0000\n")
    with pytest.raises(RslError, match="has 0x7f0000 bytes of shared memory, the profile says"):
        up(machine)
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "none"


def test_a_name_that_another_link_has_is_refused(machine: Machine) -> None:
    machine.with_ivshmem().with_link("vm0", number=1)
    with pytest.raises(RslError, match="link 'vm0' is up already: /dev/rsl_mbox1"):
        up(machine)
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == PCI


def test_firmware_is_for_no_machine(machine: Machine) -> None:
    machine.with_ivshmem()
    with pytest.raises(RslError, match="the other virtual machine boots its own"):
        up(machine, "remote.elf")


@pytest.mark.parametrize(
    "plan",
    [
        {"device": "../../x", "label": "a", "role": "none"},
        {"device": PCI, "label": "a/b", "role": "none"},
        {"device": PCI, "label": "a", "role": "root"},
    ],
)
def test_a_journal_that_setup_could_not_write_is_refused(
    machine: Machine, rslctl: Rslctl, plan: dict[str, str]
) -> None:
    machine.with_ivshmem()
    machine.with_facts("vm0", board="ivshmem", transport="ivshmem", node=PCI, style="rsl")
    entry = {"step": "role", "plan": plan}
    machine.write("/run/rslctl/vm0.json", json.dumps({"complete": True, "entries": [entry]}))
    status, _, err = rslctl("teardown", "--root", machine.root)
    assert (status, "step role has a plan that is none: setup could not" in err) == (1, True), err
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == PCI


def test_a_device_that_went_has_nothing_to_undo(machine: Machine) -> None:
    plan = {"device": PCI, "label": PCI, "role": "none"}
    assert not RoleTaken.undo(machine.host, plan)
