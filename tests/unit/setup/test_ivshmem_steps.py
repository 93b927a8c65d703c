# SPDX-License-Identifier: BSD-3-Clause
"""Links to other virtual machines, set up on a machine made of files."""

from __future__ import annotations

import json

import pytest
from rslctl.errors import RslError
from rslctl.setup.ivshmem_steps import RoleTaken
from rslctl.setup.journal import Journal

from tests.command_line import Rslctl
from tests.unit.machine import PCI, Machine
from tests.unit.setup.support import ivshmem_up

LINK = "/sys/class/rsl_mbox/rsl_mbox0"


def test_setup_gives_the_device_its_name_and_role_and_teardown_takes_them(
    machine: Machine, rslctl: Rslctl
) -> None:
    """Of a machine without any device tree."""
    machine.with_ivshmem()
    said = ivshmem_up(machine)
    assert said[-1] == (f"{PCI} is link vm0 with role daemon", "done")
    assert said[0] == ("no device tree to check: its PCI device describes it", "ok")
    assert [result for _, result in said[1:-1]] == ["already", "already", "already", "ok"]
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == "vm0"
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "daemon"
    assert {result for _, result in ivshmem_up(machine)} == {"already", "ok"}
    status, out, err = rslctl("teardown", "--root", machine.root)
    assert status == 0, err
    assert out.startswith(f"vm0: role (device {PCI}, label {PCI}, role none): undone")
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == PCI
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "none"


def test_other_memory_than_planned_is_refused_and_nothing_changes(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/memory_size", "0x7f0000\n")
    with pytest.raises(RslError, match="has 0x7f0000 bytes of shared memory, the profile says"):
        ivshmem_up(machine)
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "none"


def test_a_name_that_another_link_has_is_refused(machine: Machine) -> None:
    machine.with_ivshmem().with_link("vm0", number=1)
    with pytest.raises(RslError, match="link 'vm0' is up already: /dev/rsl_mbox1"):
        ivshmem_up(machine)
    assert machine.host.read_text("/sys/class/rsl_mbox/rsl_mbox0/label") == PCI


def test_firmware_is_for_no_machine(machine: Machine) -> None:
    machine.with_ivshmem()
    with pytest.raises(RslError, match="the other virtual machine boots its own"):
        ivshmem_up(machine, "remote.elf")


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


def test_a_dry_run_needs_neither_module_nor_driver(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_ivshmem(bound=False)
    status, out, err = rslctl(
        "setup", "--board", "ivshmem", "--dry-run", "--timeout", "0", "--root", machine.root
    )
    assert (status, err) == (0, "")
    assert f"{PCI} is link vm0 with role daemon: would do" in out


def test_a_device_of_another_link_is_not_taken(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.with_journal({"board": "x", "transport": "ivshmem", "node": PCI}, "vm1")
    machine.write(f"{LINK}/label", "vm1\n")
    with pytest.raises(RslError, match=f"{PCI} is the device of link 'vm1', which is set up"):
        ivshmem_up(machine)
    assert machine.host.read_text(f"{LINK}/label") == "vm1"


def test_a_device_in_use_keeps_its_name(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write(f"{LINK}/open_files", "1\n")
    with pytest.raises(RslError, match=f"is in use as link '{PCI}' with role 'none': /dev/rsl_mb"):
        ivshmem_up(machine)
    assert machine.host.read_text(f"{LINK}/label") == PCI


def test_a_device_in_use_keeps_its_role(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_ivshmem()
    ivshmem_up(machine)
    machine.write(f"{LINK}/open_files", "2\n")
    other = ("setup", "--board", "ivshmem-remote", "--timeout", "0", "--root", machine.root)
    status, _, err = rslctl(*other)
    assert status == 1
    assert "is in use as link 'vm0' with role 'daemon': /dev/rsl_mbox0 is open 2 times" in err
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "daemon"
    # The same one can be taken again meanwhile.
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "lost\n")
    assert ivshmem_up(machine)[-1][1] == "done"


def test_teardown_does_not_take_a_role_that_setup_gave_first(
    machine: Machine, rslctl: Rslctl
) -> None:
    """Another machine may have that role by then."""
    machine.with_ivshmem()
    ivshmem_up(machine)
    status, _, err = rslctl(
        "setup", "--board", "ivshmem-remote", "--timeout", "0", "--root", machine.root
    )
    assert status == 0, err
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "remote"
    status, out, err = rslctl("teardown", "--root", machine.root)
    assert (status, "role daemon" in out) == (0, False), err
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "none"
    assert machine.host.read_text(f"{LINK}/label") == PCI


def test_a_role_that_another_machine_took_is_taken_again(machine: Machine) -> None:
    machine.with_ivshmem()
    ivshmem_up(machine)
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "lost\n")
    assert ivshmem_up(machine)[-1][1] == "done"
    assert machine.host.read_text(f"/sys/bus/pci/devices/{PCI}/role") == "daemon"
    plans = [each["plan"] for each in Journal.load(machine.host, "vm0").entries]
    assert {plan["role"] for plan in plans} <= {"none", "daemon"}


def test_the_override_of_another_driver_is_replaced(machine: Machine) -> None:
    machine.with_ivshmem()
    override = f"/sys/devices/pci0000:00/{PCI}/driver_override"
    machine.write(override, "vfio-pci\n")
    machine.path(f"/sys/bus/pci/devices/{PCI}/driver").unlink()
    with pytest.raises(RslError):  # no kernel binds it here
        ivshmem_up(machine)
    written = machine.host.read_text("/sys/bus/pci/drivers/rsl_mbox_ivshmem/bind")
    assert written == PCI
    assert machine.host.read_text(override) == "vfio-pci"  # undone


def test_a_plan_of_numbers_is_damaged(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_facts("vm0", board="ivshmem", transport="ivshmem", node=PCI, style="rsl")
    entry = {"step": "role", "plan": {"device": 5, "label": "a", "role": "none"}}
    machine.write("/run/rslctl/vm0.json", json.dumps({"complete": True, "entries": [entry]}))
    status, _, err = rslctl("teardown", "--root", machine.root)
    assert (status, "step role has a plan that is none" in err) == (1, True)
