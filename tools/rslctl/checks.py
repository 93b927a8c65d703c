# SPDX-License-Identifier: BSD-3-Clause
"""What can be wrong with a machine, found by looking only: nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rslctl import overlay, platform_bus
from rslctl.board import Board, Channels, Fifos, Link, Region
from rslctl.host import Host
from rslctl.tree import Tree


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that may be."""

    #: The name of the check.
    check: str
    #: "error" (it will not work), "warning" (it may bite) or "unknown" (it cannot be told).
    level: str
    text: str
    remedy: str


def machine(board: Board, now: Tree) -> list[Finding]:
    """Whether the running device tree *now* is what the profile asks for."""
    remedy = (
        f"boot with its overlay (rslctl overlay --board {board.name}), "
        "or choose the board that this is"
    )
    return [
        Finding(
            "machine", "error", f"this machine does not match board {board.name!r}: {text}", remedy
        )
        for text in overlay.unlike(board, now, overlay.style_of(board, now))
    ]


#: A line of /proc/iomem; two blanks more for each level below.
_IOMEM = re.compile(r"^( *)([0-9a-f]+)-([0-9a-f]+) : (.*)$", re.MULTILINE)


def memory(host: Host, link: Link) -> list[Finding]:
    """Whether the kernel keeps its hands off the link's memory.

    The device tree says that it should; /proc/iomem says what it does. A region without
    ``no-map`` is a "reserved" part of System RAM there, any other is no part of it.
    """
    if not host.exists("/proc/iomem"):
        return [_unknown("memory", "there is no /proc/iomem", "look on the running machine")]
    rows = [
        (len(indent), Region(int(first, 16), int(last, 16) + 1 - int(first, 16)), name)
        for indent, first, last, name in _IOMEM.findall(host.read_text("/proc/iomem") + "\n")
    ]
    if not any(region.base for _, region, _ in rows):
        return [_unknown("memory", "/proc/iomem hides its addresses", "run it as root")]
    found = []
    for what, region in link.regions():
        ram = [each for depth, each, name in rows if not depth and name == "System RAM"]
        kept = [each for depth, each, name in rows if depth and name == "reserved"]
        if any(each.overlaps(region) for each in ram) and not any(
            each.contains(region) for each in kept
        ):
            text = (
                f"{link.name}: {what} at {region.base:#x}, {region.size:#x} bytes, is System RAM "
                "that Linux uses"
            )
            remedy = "the reserved-memory nodes of the overlay have to be there when Linux boots"
            found.append(Finding("memory", "error", text, remedy))
    return found


def _unknown(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "unknown", f"cannot tell: {text}", remedy)


def channels(host: Host, now: Tree, link: Link) -> list[Finding]:
    """Whether a mailbox link's controller has a driver, and its channels nobody else."""
    by = link.by
    if not isinstance(by, Channels | Fifos):
        return []
    controller = now.find(by.controller)
    if controller is None:
        return []  # the comparison with the profile tells
    found = []
    device = platform_bus.find(host, controller)
    if device is None or platform_bus.driver_of(host, device) is None:
        text = f"{link.name}: no driver has the mailbox controller {controller}"
        remedy = (
            "load its driver, or build a kernel that has it; a node that waits for something else "
            "is in /sys/kernel/debug/devices_deferred"
        )
        found.append(Finding("controller", "error", text, remedy))
    if isinstance(by, Channels):
        found += [
            Finding(
                "channel",
                "error",
                f"{link.name}: channel <{' '.join(map(str, cells))}> of {controller} is used by "
                f"{path}, driver {driver!r}",
                "give the link another channel in the profile, or disable that node",
            )
            for path, driver, cells in _users(host, now, controller)
            if cells in (*by.tx, *by.rx)
        ]
    return found


def _users(host: Host, now: Tree, controller: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Who has channels of a controller: node, driver and specifier. Our own driver apart."""
    for path in now.nodes:
        taken = [
            cells
            for target, cells in now.specifiers(path, "mboxes", "#mbox-cells")
            if target == controller
        ]
        device = platform_bus.find(host, path) if taken else None
        driver = platform_bus.driver_of(host, device) if device else None
        if driver and not driver.startswith("rsl_mbox"):
            yield from ((path, driver, cells) for cells in taken)
