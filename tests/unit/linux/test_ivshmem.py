# SPDX-License-Identifier: BSD-3-Clause
"""ivshmem devices of a machine: found by address or by number, and their attributes."""

from __future__ import annotations

import re

import pytest
from rslctl.errors import RslError
from rslctl.linux import bus, ivshmem, mbox

from tests.unit import REPOSITORY
from tests.unit.machine import PCI, Machine


def test_a_device_is_found_by_its_number_or_its_address(machine: Machine) -> None:
    machine.with_ivshmem(bound=False, address="0000:00:05.0").with_ivshmem()
    machine.write("/sys/devices/other/vendor", "0x1af4\n")
    machine.write("/sys/devices/other/device", "0x1000\n")
    machine.path("/sys/bus/pci/devices/0000:00:01.0").symlink_to(machine.path("/sys/devices/other"))
    assert ivshmem.address_of(machine.host, "", 0) == PCI
    assert ivshmem.address_of(machine.host, "", 1) == "0000:00:05.0"
    assert ivshmem.address_of(machine.host, "0000:00:05.0", 0) == "0000:00:05.0"
    with pytest.raises(RslError, match="has no ivshmem device number 2: there are 2") as error:
        ivshmem.address_of(machine.host, "", 2)
    assert "-device ivshmem-doorbell" in error.value.hint
    with pytest.raises(RslError, match=r"there is no PCI device 0000:00:06\.0"):
        ivshmem.address_of(machine.host, "0000:00:06.0", 0)


def test_an_address_of_another_device_is_refused(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write(f"/sys/devices/pci0000:00/{PCI}/device", "0x1000\n")
    with pytest.raises(RslError, match=rf"PCI device {PCI} is no ivshmem device 1af4:1110"):
        ivshmem.address_of(machine.host, PCI, 0)


def test_a_machine_without_pci_has_none(machine: Machine) -> None:
    with pytest.raises(RslError, match="has no ivshmem device number 0: there are 0"):
        ivshmem.address_of(machine.host, "", 0)


def test_attributes_are_those_of_the_device(machine: Machine) -> None:
    machine.with_ivshmem()
    assert ivshmem.attribute(machine.host, PCI, "role") == ivshmem.NONE
    ivshmem.set_attribute(machine.host, PCI, "role", "remote")
    assert ivshmem.attribute(machine.host, PCI, "role") == "remote"


def test_a_link_is_found_by_the_address_of_its_device(machine: Machine) -> None:
    machine.with_ivshmem()
    found = mbox.at(machine.host, PCI)
    assert found is not None
    assert (found.name, found.transport) == (PCI, "ivshmem")
    assert mbox.at(machine.host, "0000:00:05.0") is None
    assert bus.driver_of(machine.host, PCI) == ivshmem.DRIVER
    assert bus.has_driver(machine.host, ivshmem.DRIVER)
    mbox.set_name(machine.host, found, "vm0")
    assert mbox.pick(machine.host, "vm0").device == "rsl_mbox0"


def test_the_numbers_are_those_of_the_driver() -> None:
    text = (REPOSITORY / "kmod/rsl_mbox/ivshmem.c").read_text()
    values = dict(re.findall(r"^#define (IVSHMEM_\w+)\s+(\w+)", text, re.MULTILINE))
    assert int(values["IVSHMEM_DEVICE"], 16) == ivshmem.DEVICE
    assert values["IVSHMEM_VENDOR"] == "PCI_VENDOR_ID_REDHAT_QUMRANET"  # 0x1af4
    assert int(values["IVSHMEM_ENTRY"], 16) == ivshmem.ENTRY
    assert int(values["IVSHMEM_ID_MAX"], 16) == ivshmem.ID_MASK
    assert (values["IVSHMEM_TABLE_SIZE"], ivshmem.TABLE_SIZE) == ("SZ_64K", 0x10000)
    assert f'.name = "{ivshmem.DRIVER}"' in text
    names = re.search(r"ivshmem_role_names\[\] = \{ (.*) \}", text)
    assert names
    assert re.findall(r'"(\w+)"', names[1]) == [*ivshmem.ROLES, ivshmem.NONE]
    assert list(ivshmem.ROLES.values()) == [0, 4]
