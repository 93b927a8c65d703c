# SPDX-License-Identifier: BSD-3-Clause
"""UIO devices: find them by their device tree node, and find the processes that use them.

Attributes: drivers/uio/uio.c of Linux.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from rslctl.errors import RslError
from rslctl.linux import bus
from rslctl.linux.host import Host
from rslctl.region import Region

SUBSYSTEM = "uio"
#: The name of the driver and of its module.
DRIVER = "uio_pdrv_genirq"

CLASS = f"/sys/class/{SUBSYSTEM}"


@dataclass(frozen=True)
class UioDevice:
    """A UIO device as sysfs shows it."""

    #: The kernel's name of the device, for example "uio0".
    device: str
    name: str
    #: The device tree node of the device; "" without one.
    node: str
    #: The memory that it maps.
    maps: tuple[Region, ...]

    @property
    def path(self) -> str:
        """The path of the character device."""
        return f"/dev/{self.device}"


def find(host: Host) -> list[UioDevice]:
    """Return the UIO devices of the machine, by number."""
    names = sorted(host.names(CLASS), key=lambda name: (len(name), name))
    return [_read(host, name) for name in names]


def at(host: Host, node: str) -> UioDevice | None:
    """Return the UIO device of a device tree node; None if it has none."""
    return next((each for each in find(host) if each.node == node), None)


def of_device(host: Host, device: str) -> UioDevice | None:
    """Return the UIO device of the platform device called *device*; None if it has none."""
    for name in host.names(CLASS):
        if os.path.basename(host.real(f"{CLASS}/{name}/device")) == device:
            return _read(host, name)
    return None


def users(host: Host, uio: UioDevice) -> list[int]:
    """Return the processes that have a UIO device open or mapped.

    Processes that the caller may not inspect are left out.
    """
    node = host.stat(uio.path)
    if not host.live or node is None:
        return []
    pids = [name for name in host.names("/proc") if name.isdecimal()]
    return [int(pid) for pid in pids if node.st_rdev in _device_numbers(host, pid)]


def _device_numbers(host: Host, pid: str) -> set[int]:
    """Return the numbers of the devices that a process has open or mapped."""
    found = set()
    for directory in (f"/proc/{pid}/fd", f"/proc/{pid}/map_files"):
        with contextlib.suppress(RslError):  # the process has ended, or we may not inspect it
            for name in host.names(directory):
                with contextlib.suppress(RslError):
                    state = host.stat(f"{directory}/{name}")
                    found.add(state.st_rdev if state else 0)
    return found


def _read(host: Host, device: str) -> UioDevice:
    directory = f"{CLASS}/{device}"

    def number(name: str) -> int:
        return int(host.read_text(f"{directory}/maps/{name}"), 16)

    maps = host.names(f"{directory}/maps")
    return UioDevice(
        device=device,
        name=host.read_text(f"{directory}/name"),
        node=bus.node_of(host, f"{directory}/device"),
        maps=tuple(Region(number(f"{each}/addr"), number(f"{each}/size")) for each in maps),
    )
