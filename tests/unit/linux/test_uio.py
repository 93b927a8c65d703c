# SPDX-License-Identifier: BSD-3-Clause
"""UIO devices, found by their device tree node and never by their number."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.linux import uio
from rslctl.linux.host import DEVICE_TREE
from rslctl.region import Region

from tests.unit.machine import Machine


def with_uio(machine: Machine, number: int, base: int) -> None:
    """A UIO device of a node at *base*, which maps a page there."""
    node = machine.write(f"{DEVICE_TREE}/shmem@{base:x}/reg", b"").parent
    device = machine.write(f"/sys/bus/platform/devices/{base:x}.shmem/uevent", "").parent
    (device / "of_node").symlink_to(node)
    directory = f"/sys/class/uio/uio{number}"
    machine.write(f"{directory}/name", f"link{number}\n")
    machine.write(f"{directory}/maps/map0/addr", f"{base:#018x}\n")
    machine.write(f"{directory}/maps/map0/size", "0x1000\n")
    machine.path(f"{directory}/device").symlink_to(device)


def test_devices_are_found_in_the_order_of_their_numbers(machine: Machine) -> None:
    for number in (10, 2):
        with_uio(machine, number, 0x70000000 + 0x1000 * number)
    assert [each.path for each in uio.find(machine.host)] == ["/dev/uio2", "/dev/uio10"]
    assert uio.find(machine.host)[0] == uio.UioDevice(
        "uio2", "link2", "/shmem@70002000", (Region(0x70002000, 0x1000),)
    )


def test_a_device_is_found_by_its_node_and_by_its_platform_device(machine: Machine) -> None:
    with_uio(machine, 3, 0x70000000)
    by_node = uio.at(machine.host, "/shmem@70000000")
    assert by_node
    assert by_node.device == "uio3"
    assert uio.of_device(machine.host, "70000000.shmem") == by_node
    assert uio.at(machine.host, "/shmem@80000000") is None
    assert uio.of_device(machine.host, "80000000.shmem") is None


def test_a_device_without_maps_has_none(machine: Machine) -> None:
    machine.write("/sys/class/uio/uio0/name", "plain\n")
    assert uio.find(machine.host) == [uio.UioDevice("uio0", "plain", "", ())]


def test_a_map_that_cannot_be_read_is_named(machine: Machine) -> None:
    with_uio(machine, 0, 0x70000000)
    machine.host.remove("/sys/class/uio/uio0/maps/map0/addr")
    with pytest.raises(RslError, match=r"cannot read .*map0/addr"):
        uio.find(machine.host)


def test_nobody_on_this_machine_uses_the_device_of_another(machine: Machine) -> None:
    with_uio(machine, 0, 0x70000000)
    machine.write("/dev/uio0", "")
    (device,) = uio.find(machine.host)
    with machine.path("/dev/uio0").open():
        assert uio.users(machine.host, device) == []
