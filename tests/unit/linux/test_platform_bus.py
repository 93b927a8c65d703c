# SPDX-License-Identifier: BSD-3-Clause
"""Devices of the platform bus, their nodes and their drivers."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.linux import platform_bus

from tests.unit.machine import Machine

DEVICE = "8020040.rsl-mbox"
NODE = "/rsl-mbox@8020040"
DIRECTORY = f"/sys/bus/platform/devices/{DEVICE}"


def test_a_device_is_found_by_its_node_and_the_node_by_its_device(machine: Machine) -> None:
    machine.with_device_tree()
    assert platform_bus.find(machine.host, NODE) == DEVICE
    assert platform_bus.node_of(machine.host, DIRECTORY) == NODE
    assert platform_bus.directory_of(machine.host, NODE) == DIRECTORY


def test_a_device_of_no_node_has_none(machine: Machine) -> None:
    machine.with_device_tree()
    machine.write("/sys/bus/platform/devices/plain/uevent", "")
    assert platform_bus.node_of(machine.host, "/sys/bus/platform/devices/plain") == ""
    outside = machine.write("/sys/firmware/elsewhere/x", "").parent
    (machine.path("/sys/bus/platform/devices/plain") / "of_node").symlink_to(outside)
    assert platform_bus.node_of(machine.host, "/sys/bus/platform/devices/plain") == ""


def test_a_node_that_the_kernel_made_no_device_of_is_named(machine: Machine) -> None:
    machine.with_device_tree()
    assert platform_bus.find(machine.host, "/other") is None
    with pytest.raises(RslError, match="the kernel made no device of /other") as error:
        platform_bus.at(machine.host, "/other")
    assert error.value.hint == "is the node disabled?"


def test_a_mailbox_controller_may_be_on_the_bus_of_arms_own_devices(machine: Machine) -> None:
    machine.with_device_tree()
    node = machine.write("/sys/firmware/devicetree/base/mhu@2b1f0000/reg", b"").parent
    device = machine.write("/sys/bus/amba/devices/2b1f0000.mhu/uevent", "").parent
    (device / "of_node").symlink_to(node)
    directory = "/sys/bus/amba/devices/2b1f0000.mhu"
    assert platform_bus.directory_of(machine.host, "/mhu@2b1f0000") == directory
    assert platform_bus.find(machine.host, "/mhu@2b1f0000") is None
    assert platform_bus.driver_at(machine.host, directory) is None


def test_a_device_says_who_drives_it(machine: Machine) -> None:
    machine.with_device_tree()
    assert platform_bus.driver_of(machine.host, DEVICE) is None
    machine.with_driver()
    assert platform_bus.driver_of(machine.host, DEVICE) == "rsl_mbox_doorbell"
    assert platform_bus.has_driver(machine.host, "rsl_mbox_mailbox")
    assert not platform_bus.has_driver(machine.host, "uio_pdrv_genirq")


def test_a_device_is_bound_and_unbound_by_its_name(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    driver = "/sys/bus/platform/drivers/rsl_mbox_doorbell"
    platform_bus.bind(machine.host, DEVICE, "rsl_mbox_doorbell")
    assert machine.host.read(f"{driver}/bind") == DEVICE.encode()
    platform_bus.unbind(machine.host, DEVICE, "rsl_mbox_doorbell")
    assert machine.host.read(f"{driver}/unbind") == DEVICE.encode()


def test_a_bind_that_is_refused_points_to_the_kernels_log(machine: Machine) -> None:
    machine.with_device_tree()
    with pytest.raises(RslError, match=r"cannot write '8020040\.rsl-mbox' to ") as error:
        platform_bus.bind(machine.host, DEVICE, "no-driver")
    assert error.value.hint == "the kernel log (dmesg) says why"


def test_an_override_that_is_none_is_empty(machine: Machine) -> None:
    machine.with_device_tree()
    machine.write(f"{DIRECTORY}/driver_override", "(null)\n")
    assert platform_bus.override(machine.host, DEVICE) == ""
    platform_bus.set_override(machine.host, DEVICE, "uio_pdrv_genirq")
    assert platform_bus.override(machine.host, DEVICE) == "uio_pdrv_genirq"
