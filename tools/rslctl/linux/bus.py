# SPDX-License-Identifier: BSD-3-Clause
"""The devices of the platform bus and of PCI, and their drivers: find, bind and unbind.

A link's device is told by its node: a path in the device tree, which the device of the platform bus
has, or the address of a PCI device, as ``0000:00:04.0``.

Attributes: Documentation/ABI/testing/sysfs-bus-platform and sysfs-bus-pci of Linux.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE, Host

_BUS = "/sys/bus/platform"
_PCI = "/sys/bus/pci"
_HEX = frozenset("0123456789abcdef")
#: The text of driver_override while no override is set.
_NONE = "(null)"


def is_pci(name: str) -> bool:
    """Return whether *name* is a PCI address as Linux writes it: domain, bus, device, function."""
    # Loading re takes longer than a kick.
    place, _, function = name.partition(".")
    parts = place.split(":")
    return (
        len(parts) == 3
        and 4 <= len(parts[0]) <= 8
        and [len(part) for part in parts[1:]] == [2, 2]
        and _HEX.issuperset("".join(parts))
        and function in tuple("01234567")
    )


def node_of(host: Host, directory: str) -> str:
    """Return the device tree path of the device with the sysfs *directory*; "" without a node."""
    link = f"{directory}/of_node"
    path = os.path.relpath(host.real(link), host.real(DEVICE_TREE))
    if not host.exists(link) or path.startswith(".."):
        return ""
    return "/" if path == "." else f"/{path}"


def is_at(host: Host, directory: str, node: str) -> bool:
    """Return whether the device with the sysfs *directory* is that of a node or PCI address."""
    if is_pci(node):
        return os.path.basename(host.real(directory)) == node
    return node_of(host, directory) == node


def pci_devices(host: Host, vendor: int, device: int) -> list[str]:
    """Return the addresses of the PCI devices with this vendor and device ID, sorted."""

    def identity(address: str) -> tuple[int, int]:
        directory = f"{_PCI}/devices/{address}"
        vendor, device = (host.read_text(f"{directory}/{name}") for name in ("vendor", "device"))
        return int(vendor, 16), int(device, 16)

    names = host.names(f"{_PCI}/devices")
    return sorted(name for name in names if identity(name) == (vendor, device))


def _of(device: str) -> str:
    """The sysfs directory of the bus that a device of this name is on."""
    return _PCI if is_pci(device) else _BUS


def find(host: Host, node: str) -> str | None:
    """Return the name of the device of a node or PCI address; None if the kernel has none."""
    if is_pci(node):
        return node if host.exists(path(node)) else None
    names = host.names(f"{_BUS}/devices")
    return next((name for name in names if node_of(host, path(name)) == node), None)


def at(host: Host, node: str) -> str:
    """Return the name of the device of a node or PCI address.

    Raises:
        RslError: the kernel has no such device.
    """
    name = find(host, node)
    if name is None and is_pci(node):
        raise RslError(f"there is no PCI device {node}", hint="was it unplugged? lspci -D lists")
    if name is None:
        raise RslError(f"the kernel made no device of {node}", hint="is the node disabled?")
    return name


def path(device: str) -> str:
    """Return the sysfs directory of a device."""
    return f"{_of(device)}/devices/{device}"


def driver_of(host: Host, device: str) -> str | None:
    """Return the driver of a device; None if it has no driver."""
    return driver_at(host, path(device))


def driver_at(host: Host, directory: str) -> str | None:
    """Return the driver of the device with this sysfs directory, on any bus; None without one."""
    target = host.link_target(f"{directory}/driver")
    return os.path.basename(target) if target else None


def directory_of(host: Host, node: str) -> str | None:
    """Return the sysfs directory of a node's device, on the platform bus or on the AMBA bus.

    None if the node has no device on either bus.
    """
    for bus in (_BUS, "/sys/bus/amba"):
        for name in host.names(f"{bus}/devices"):
            if node_of(host, f"{bus}/devices/{name}") == node:
                return f"{bus}/devices/{name}"
    return None


def has_driver(host: Host, driver: str) -> bool:
    """Return whether the kernel has a driver of this name now, of the platform bus or of PCI."""
    return any(host.exists(f"{bus}/drivers/{driver}") for bus in (_BUS, _PCI))


def bind(host: Host, device: str, driver: str) -> None:
    """Bind a device to a driver.

    Raises:
        RslError: the kernel refuses, or the driver's probe fails.
    """
    try:
        host.write_attribute(f"{_of(device)}/drivers/{driver}/bind", device)
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def unbind(host: Host, device: str, driver: str) -> None:
    """Unbind a device from its driver.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{_of(device)}/drivers/{driver}/unbind", device)


def override(host: Host, device: str) -> str:
    """Return the driver_override of a device: its only permitted driver; "" if it is not set."""
    text = host.read_text(f"{path(device)}/driver_override")
    return "" if text == _NONE else text


def set_override(host: Host, device: str, driver: str) -> None:
    """Set driver_override: only *driver* may bind to the device; "" clears the override.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{path(device)}/driver_override", f"{driver}\n")
