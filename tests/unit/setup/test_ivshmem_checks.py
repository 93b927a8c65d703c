# SPDX-License-Identifier: BSD-3-Clause
"""What is found of links to other virtual machines."""

from __future__ import annotations

from rslctl.profile import reader
from rslctl.setup import ivshmem_checks

from tests.unit.machine import PCI, Machine
from tests.unit.setup.support import ivshmem_up as up

BOARD = reader.load("ivshmem")


def test_other_vectors_than_planned_are_named(machine: Machine) -> None:
    machine.with_ivshmem()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/vectors", "2\n")
    (found,) = ivshmem_checks.device(machine.host, BOARD.links[0], PCI)
    assert "has 0x2 vectors, the profile says 0x4" in found.text


def test_a_link_is_looked_at_once_it_is_set_up(machine: Machine) -> None:
    link = BOARD.links[0]
    (found,) = ivshmem_checks.link(machine.host, link)
    assert (found.check, found.level) == ("ivshmem", "error")
    machine.with_ivshmem()
    assert list(ivshmem_checks.link(machine.host, link)) == []
    up(machine)
    (found,) = ivshmem_checks.link(machine.host, link)
    assert (found.check, found.level) == ("peer", "warning")
    machine.write(f"/sys/devices/pci0000:00/{PCI}/peer", "1\n")
    assert list(ivshmem_checks.link(machine.host, link)) == []


def test_a_role_that_another_machine_took_is_told(machine: Machine) -> None:
    machine.with_ivshmem()
    up(machine)
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "lost\n")
    machine.write(f"/sys/devices/pci0000:00/{PCI}/peer", "1\n")
    (found,) = ivshmem_checks.link(machine.host, BOARD.links[0])
    assert (found.check, found.level) == ("role", "error")
