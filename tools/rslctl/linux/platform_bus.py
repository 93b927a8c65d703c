# SPDX-License-Identifier: BSD-3-Clause
"""The devices of the platform bus and their drivers: find, bind and unbind.

Attributes: Documentation/ABI/testing/sysfs-bus-platform of Linux.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE, Host

_BUS = "/sys/bus/platform"
#: The text of driver_override while no override is set.
_NONE = "(null)"


def node_of(host: Host, directory: str) -> str:
    """Return the device tree path of the device with the sysfs *directory*; "" without a node."""
    link = f"{directory}/of_node"
    path = os.path.relpath(host.real(link), host.real(DEVICE_TREE))
    if not host.exists(link) or path.startswith(".."):
        return ""
    return "/" if path == "." else f"/{path}"


def find(host: Host, node: str) -> str | None:
    """Return the name of the device of a device tree node; None if the kernel created none."""
    names = host.names(f"{_BUS}/devices")
    return next((name for name in names if node_of(host, path(name)) == node), None)


def at(host: Host, node: str) -> str:
    """Return the name of the device of a device tree node.

    Raises:
        RslError: the kernel created no device of the node.
    """
    name = find(host, node)
    if name is None:
        raise RslError(f"the kernel made no device of {node}", hint="is the node disabled?")
    return name


def path(device: str) -> str:
    """Return the sysfs directory of a device."""
    return f"{_BUS}/devices/{device}"


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
    """Return whether the kernel has a platform driver of this name now."""
    return host.exists(f"{_BUS}/drivers/{driver}")


def bind(host: Host, device: str, driver: str) -> None:
    """Bind a device to a driver.

    Raises:
        RslError: the kernel refuses, or the driver's probe fails.
    """
    try:
        host.write_attribute(f"{_BUS}/drivers/{driver}/bind", device)
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def unbind(host: Host, device: str, driver: str) -> None:
    """Unbind a device from its driver.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{_BUS}/drivers/{driver}/unbind", device)


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
