# SPDX-License-Identifier: BSD-3-Clause
"""All that can be wrong with a link to another virtual machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from rslctl.profile import model, reader

from tests.unit.machine import PCI, Machine

LINK = "/sys/class/rsl_mbox/rsl_mbox0"


def other_machine(machine: Machine, **words: str) -> model.Board:
    """A link to another virtual machine, with an ivshmem device unless *words* has none."""
    shutil.rmtree(machine.path("/sys/class/rsl_mbox"))
    if words.get("device") != "none":
        machine.with_ivshmem()
        machine.write(f"{LINK}/label", "vm0\n")
        machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "daemon\n")
        machine.write(f"{LINK}/memory_size", f"{words.get('size', '0x3f0000')}\n")
    return reader.load("ivshmem")


def no_peer(machine: Machine) -> model.Board:
    return other_machine(machine)


def lost_role(machine: Machine) -> model.Board:
    board = other_machine(machine)
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "lost\n")
    return board


def no_role(machine: Machine) -> model.Board:
    board = other_machine(machine)
    machine.write(f"/sys/devices/pci0000:00/{PCI}/role", "none\n")
    return board


def without_link(machine: Machine, driver: str | None) -> model.Board:
    """An ivshmem device that is no link, while the module is loaded."""
    board = other_machine(machine)
    shutil.rmtree(machine.path(LINK))
    held = machine.path(f"/sys/bus/pci/devices/{PCI}/driver")
    held.unlink()
    if driver:
        held.symlink_to(machine.write(f"/sys/bus/pci/drivers/{driver}/bind", "").parent)
    return board


def held_ivshmem(machine: Machine) -> model.Board:
    return without_link(machine, "vfio-pci")


def refused_ivshmem(machine: Machine) -> model.Board:
    return without_link(machine, None)


def early_ivshmem(machine: Machine) -> model.Board:
    """A device that setup would refuse, before it is set up."""
    board = other_machine(machine, size="0x7f0000")
    machine.write(f"{LINK}/label", f"{PCI}\n")
    return board


def replugged(machine: Machine) -> model.Board:
    board = other_machine(machine)
    machine.write(f"{LINK}/label", f"{PCI}\n")
    machine.with_journal({"board": "ivshmem", "transport": "ivshmem", "node": PCI}, "vm0")
    return board


def no_ivshmem(machine: Machine) -> model.Board:
    return other_machine(machine, device="none")


def other_size(machine: Machine) -> model.Board:
    return other_machine(machine, size="0x7f0000")


PROVOKED: list[tuple[str, str, Callable[[Machine], model.Board], str]] = [
    ("ivshmem", "error", no_ivshmem, "vm0: this machine has no ivshmem device number 0: there are"),
    ("ivshmem", "error", other_size, "has 0x7f0000 bytes of shared memory, the profile says 0x3f0"),
    ("ivshmem", "error", early_ivshmem, "has 0x7f0000 bytes of shared memory, the profile says"),
    ("ivshmem", "error", held_ivshmem, "is held by driver 'vfio-pci'"),
    ("ivshmem", "error", refused_ivshmem, "has no driver, though the module is loaded"),
    ("role", "error", no_role, "has the role 'none', the profile says 'daemon'"),
    ("role", "error", lost_role, "vm0: another machine has taken the role 'daemon'"),
    ("peer", "warning", no_peer, "vm0: no machine has the role 'remote': kicks go nowhere"),
    ("link-gone", "error", replugged, "vm0: it was set up and is gone"),
]
