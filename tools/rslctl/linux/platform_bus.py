# SPDX-License-Identifier: BSD-3-Clause
"""Devices of the platform bus and who drives them.

Attributes: Documentation/ABI/testing/sysfs-bus-platform of Linux.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE, Host

_BUS = "/sys/bus/platform"
#: What driver_override shows while there is none.
_NONE = "(null)"


def node_of(host: Host, directory: str) -> str:
    """The path in the device tree of the device whose directory in sysfs is given; "" if none."""
    link = host.where(f"{directory}/of_node")
    path = os.path.relpath(os.path.realpath(link), os.path.realpath(host.where(DEVICE_TREE)))
    if not os.path.exists(link) or path.startswith(".."):
        return ""
    return "/" if path == "." else f"/{path}"


def find(host: Host, node: str) -> str | None:
    """The name of the device that the kernel made of a device tree node; None if it made none."""
    names = host.names(f"{_BUS}/devices")
    return next((name for name in names if node_of(host, path(name)) == node), None)


def at(host: Host, node: str) -> str:
    """The same where it has to be there.

    Raises:
        RslError: the kernel made none.
    """
    name = find(host, node)
    if name is None:
        raise RslError(f"the kernel made no device of {node}", hint="is the node disabled?")
    return name


def path(device: str) -> str:
    """A device's directory in sysfs."""
    return f"{_BUS}/devices/{device}"


def driver_of(host: Host, device: str) -> str | None:
    """The driver that a device is bound to."""
    return driver_at(host, path(device))


def driver_at(host: Host, directory: str) -> str | None:
    """The driver of the device with this directory in sysfs, on whatever bus."""
    target = host.link_target(f"{directory}/driver")
    return os.path.basename(target) if target else None


def directory_of(host: Host, node: str) -> str | None:
    """The directory in sysfs of a node's device, on this bus or that of Arm's own devices."""
    for bus in (_BUS, "/sys/bus/amba"):
        for name in host.names(f"{bus}/devices"):
            if node_of(host, f"{bus}/devices/{name}") == node:
                return f"{bus}/devices/{name}"
    return None


def has_driver(host: Host, driver: str) -> bool:
    return host.exists(f"{_BUS}/drivers/{driver}")


def bind(host: Host, device: str, driver: str) -> None:
    """Bind a device to a driver.

    Raises:
        RslError: the kernel does not.
    """
    try:
        host.write_attribute(f"{_BUS}/drivers/{driver}/bind", device)
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def unbind(host: Host, device: str, driver: str) -> None:
    """Take a device from its driver.

    Raises:
        RslError: the kernel does not.
    """
    host.write_attribute(f"{_BUS}/drivers/{driver}/unbind", device)


def override(host: Host, device: str) -> str:
    """The only driver that the device may be bound to; "" where its node decides."""
    text = host.read_text(f"{path(device)}/driver_override")
    return "" if text == _NONE else text


def set_override(host: Host, device: str, driver: str) -> None:
    """Let a device be bound to *driver* only; "" lets its node decide again.

    Raises:
        RslError: the kernel does not.
    """
    host.write_attribute(f"{path(device)}/driver_override", f"{driver}\n")
