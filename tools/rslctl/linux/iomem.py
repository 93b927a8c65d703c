# SPDX-License-Identifier: BSD-3-Clause
"""What the running kernel says of physical addresses: the RAM that it has, and what is used.

The file is /proc/iomem. Without the capability CAP_SYS_ADMIN all its addresses are 0
(kernel/resource.c of Linux, r_show()).
"""

from __future__ import annotations

import re

from rslctl.linux.host import Host
from rslctl.region import Region

PATH = "/proc/iomem"

_LINE = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : (.*)")
_RAM = "System RAM"


class Iomem:
    """The lines of the file."""

    def __init__(self, text: str) -> None:
        found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line))]
        regions = [(each[3], int(each[1], 16), int(each[2], 16)) for each in found]
        #: Whether the file tells addresses.
        self.known = any(end for _, _, end in regions)
        #: The regions of RAM that the kernel has; reserved parts are in them or beside them.
        self.ram = self._named(regions, of_ram=True)
        #: All others: the kernel itself, what it reserved, and devices.
        self.used = self._named(regions, of_ram=False)

    def _named(self, regions: list[tuple[str, int, int]], *, of_ram: bool) -> tuple[Region, ...]:
        if not self.known:
            return ()
        return tuple(
            Region(first, last - first + 1)
            for name, first, last in regions
            if (name == _RAM) == of_ram and last >= first
        )


def read(host: Host) -> Iomem:
    """Read the file of the machine; a machine without it tells nothing.

    Raises:
        RslError: the file cannot be read.
    """
    return Iomem(host.read_text(PATH) if host.exists(PATH) else "")
