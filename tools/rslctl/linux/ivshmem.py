# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's PCI device ivshmem-doorbell, and the kernel module's driver of it.

The driver keeps a table of IDs at the end of the shared memory: kmod/rsl_mbox/ivshmem.c.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux import bus, mbox
from rslctl.linux.host import Host

#: Vendor and device ID: docs/specs/ivshmem-spec of QEMU.
VENDOR, DEVICE = 0x1AF4, 0x1110

DRIVER = "rsl_mbox_ivshmem"

#: The table of IDs: its size in bytes, and the offset in it of each role's entry.
TABLE_SIZE = 64 << 10
ROLES = {"daemon": 0, "remote": 4}
#: An entry is this and the ID, in 4 bytes, little endian. An ID has 16 bits, as in the doorbell
#: register.
ENTRY, ID_MASK = 0x52530000, 0xFFFF

#: What the driver shows as the role and as the peer of a device that has none, and as the role
#: that the table says to be another machine's.
NONE, LOST = "none", "lost"


def address_of(host: Host, address: str, instance: int) -> str:
    """Return the PCI address of a device: *address*, or that of device number *instance*.

    Raises:
        RslError: there is no such device.
    """
    found = bus.pci_devices(host, VENDOR, DEVICE)
    if address and bus.at(host, address) not in found:
        raise RslError(
            f"PCI device {address} is no ivshmem device {VENDOR:04x}:{DEVICE:04x}",
            hint=f"those are: {', '.join(found) or 'none'}",
        )
    if address:
        return address
    if instance >= len(found):
        raise RslError(
            f"this machine has no ivshmem device number {instance}: there "
            + (f"are {len(found)}" if len(found) != 1 else "is 1"),
            hint="give the virtual machine one: -chardev socket,path=SOCKET,id=ID "
            "-device ivshmem-doorbell,chardev=ID,vectors=N",
        )
    return found[instance]


def of_link(host: Host, device: str) -> str:
    """Return the PCI address of the link whose device has this name, as "rsl_mbox0"."""
    return os.path.basename(host.real(f"{mbox.CLASS}/{device}/device"))


def attribute(host: Host, address: str, name: str) -> str:
    """Return an attribute of the driver: "peer", "position" or "role".

    Raises:
        RslError: the device is not bound to the driver.
    """
    return host.read_text(f"{bus.path(address)}/{name}")


def set_attribute(host: Host, address: str, name: str, value: str) -> None:
    """Set "peer" or "role".

    Raises:
        RslError: the device is not bound to the driver, or the driver refuses the value.
    """
    host.write_attribute(f"{bus.path(address)}/{name}", value)
