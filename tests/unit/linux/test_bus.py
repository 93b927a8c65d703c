# SPDX-License-Identifier: BSD-3-Clause
"""Devices of the platform bus and of PCI, their nodes and their drivers."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.linux import bus

from tests.unit.machine import PCI, Machine

DEVICE = "8020040.rsl-mbox"
NODE = "/rsl-mbox@8020040"
DIRECTORY = f"/sys/bus/platform/devices/{DEVICE}"


def test_a_device_is_found_by_its_node_and_the_node_by_its_device(machine: Machine) -> None:
    machine.with_device_tree()
    assert bus.find(machine.host, NODE) == DEVICE
    assert bus.node_of(machine.host, DIRECTORY) == NODE
    assert bus.directory_of(machine.host, NODE) == DIRECTORY


def test_a_device_of_no_node_has_none(machine: Machine) -> None:
    machine.with_device_tree()
    machine.write("/sys/bus/platform/devices/plain/uevent", "")
    assert bus.node_of(machine.host, "/sys/bus/platform/devices/plain") == ""
    outside = machine.write("/sys/firmware/elsewhere/x", "").parent
    (machine.path("/sys/bus/platform/devices/plain") / "of_node").symlink_to(outside)
    assert bus.node_of(machine.host, "/sys/bus/platform/devices/plain") == ""


def test_a_node_that_the_kernel_made_no_device_of_is_named(machine: Machine) -> None:
    machine.with_device_tree()
    assert bus.find(machine.host, "/other") is None
    with pytest.raises(RslError, match="the kernel made no device of /other") as error:
        bus.at(machine.host, "/other")
    assert error.value.hint == "is the node disabled?"


def test_a_mailbox_controller_may_be_on_the_bus_of_arms_own_devices(machine: Machine) -> None:
    machine.with_device_tree()
    node = machine.write("/sys/firmware/devicetree/base/mhu@2b1f0000/reg", b"").parent
    device = machine.write("/sys/bus/amba/devices/2b1f0000.mhu/uevent", "").parent
    (device / "of_node").symlink_to(node)
    directory = "/sys/bus/amba/devices/2b1f0000.mhu"
    assert bus.directory_of(machine.host, "/mhu@2b1f0000") == directory
    assert bus.find(machine.host, "/mhu@2b1f0000") is None
    assert bus.driver_at(machine.host, directory) is None


def test_a_device_says_who_drives_it(machine: Machine) -> None:
    machine.with_device_tree()
    assert bus.driver_of(machine.host, DEVICE) is None
    machine.with_driver()
    assert bus.driver_of(machine.host, DEVICE) == "rsl_mbox_doorbell"
    assert bus.has_driver(machine.host, "rsl_mbox_mailbox")
    assert not bus.has_driver(machine.host, "uio_pdrv_genirq")


def test_a_device_is_bound_and_unbound_by_its_name(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    driver = "/sys/bus/platform/drivers/rsl_mbox_doorbell"
    bus.bind(machine.host, DEVICE, "rsl_mbox_doorbell")
    assert machine.host.read(f"{driver}/bind") == DEVICE.encode()
    bus.unbind(machine.host, DEVICE, "rsl_mbox_doorbell")
    assert machine.host.read(f"{driver}/unbind") == DEVICE.encode()


def test_a_bind_that_is_refused_points_to_the_kernels_log(machine: Machine) -> None:
    machine.with_device_tree()
    with pytest.raises(RslError, match=r"cannot write '8020040\.rsl-mbox' to ") as error:
        bus.bind(machine.host, DEVICE, "no-driver")
    assert error.value.hint == "the kernel log (dmesg) says why"


def test_an_override_that_is_none_is_empty(machine: Machine) -> None:
    machine.with_device_tree()
    machine.write(f"{DIRECTORY}/driver_override", "(null)\n")
    assert bus.override(machine.host, DEVICE) == ""
    bus.set_override(machine.host, DEVICE, "uio_pdrv_genirq")
    assert bus.override(machine.host, DEVICE) == "uio_pdrv_genirq"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("0000:00:04.0", True),
        ("10000:e1:1f.7", True),
        ("0000:00:04.8", False),
        ("0000:00:04.", False),
        ("0000:00:04.01", False),
        ("0000:00:4.0", False),
        ("0000:00:04", False),
        ("00:04.0", False),
        ("0000:00:0G.0", False),
        ("0000:00:0A.0", False),
        ("/rsl-mbox@8020040", False),
        ("8020040.rsl-mbox", False),
        ("../:00:04.0", False),
        ("", False),
    ],
)
def test_a_pci_address_is_told_from_other_names(name: str, is_one: bool) -> None:
    assert bus.is_pci(name) == is_one


def test_a_pci_device_is_bound_by_its_address(machine: Machine) -> None:
    machine.with_ivshmem()
    driver = "/sys/bus/pci/drivers/rsl_mbox_ivshmem"
    assert bus.find(machine.host, PCI) == bus.at(machine.host, PCI) == PCI
    assert bus.is_at(machine.host, "/sys/class/rsl_mbox/rsl_mbox0/device", PCI)
    bus.bind(machine.host, PCI, "rsl_mbox_ivshmem")
    assert machine.host.read(f"{driver}/bind") == PCI.encode()
    bus.unbind(machine.host, PCI, "rsl_mbox_ivshmem")
    assert machine.host.read(f"{driver}/unbind") == PCI.encode()
    with pytest.raises(RslError, match=r"there is no PCI device 0000:00:05\.0"):
        bus.at(machine.host, "0000:00:05.0")
