# SPDX-License-Identifier: BSD-3-Clause
"""What the running kernel says of physical addresses: the RAM that it has, and what is used.

The file is /proc/iomem. Without the capability CAP_SYS_ADMIN all its addresses are 0
(kernel/resource.c of Linux, r_show()).
"""

from __future__ import annotations

from dataclasses import dataclass

from rslctl.linux.host import Host
from rslctl.region import Region

PATH = "/proc/iomem"

#: The name of the RAM that the kernel has.
RAM = "System RAM"


@dataclass(frozen=True)
class Resource:
    """A line of the file."""

    #: The level of the line: 0 at the top.
    depth: int
    region: Region
    name: str


def resources(text: str) -> list[Resource]:
    """Parse the file; what is no resource is left out."""
    found = []
    for line in text.splitlines():
        span, _, name = line.partition(" : ")
        first, _, last = span.strip().partition("-")
        try:
            region = Region(int(first, 16), int(last, 16) - int(first, 16) + 1)
        except ValueError:
            continue
        found.append(Resource((len(line) - len(line.lstrip())) // 2, region, name.strip()))
    return found


def tells(found: list[Resource]) -> bool:
    """Whether the resources have addresses, and not 0 alone."""
    return any(each.region.end > 1 for each in found)


class Iomem:
    """The RAM that the kernel has, and what is used."""

    def __init__(self, text: str) -> None:
        found = resources(text)
        #: Whether the file tells addresses.
        self.known = tells(found)
        known = [each for each in found if self.known and each.region.size > 0]
        #: The regions of RAM that the kernel has; reserved parts are in them or beside them.
        self.ram = tuple(each.region for each in known if each.name == RAM)
        #: All others: the kernel itself, what it reserved, and devices.
        self.used = tuple(each.region for each in known if each.name != RAM)


def read(host: Host) -> Iomem:
    """Read the file of the machine; a machine without it tells nothing.

    Raises:
        RslError: the file cannot be read.
    """
    return Iomem(host.read_text(PATH) if host.exists(PATH) else "")
