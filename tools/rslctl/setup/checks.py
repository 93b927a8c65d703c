# SPDX-License-Identifier: BSD-3-Clause
"""The conditions for a link: checks of the machine, its memory and the channels. They only read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rslctl.devicetree import overlay
from rslctl.devicetree.tree import Tree, parent
from rslctl.errors import RslError
from rslctl.linux import bus, iomem
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile.model import Board, Doorbell, Ipi, Link
from rslctl.region import Region

#: "error": the link cannot work; "warning": there may be a problem; "unknown": the check could not
#: look, and the text says why.
Level = Literal["error", "warning", "unknown"]

_DEFERRED = "/sys/kernel/debug/devices_deferred"
_RESERVED = "/reserved-memory"
_RSL = ("rsl,mbox-client", "rsl,mbox-doorbell", "user-mailbox")


@dataclass(frozen=True)
class Finding:
    """A result of a check: one line of text, and what to do about it."""

    #: The name of the check.
    check: str
    level: Level
    text: str
    remedy: str


def content(host: Host, name: str) -> str | None:
    """Return the text of a file; None if it is missing or cannot be read."""
    try:
        return host.read_text(name)
    except RslError:
        return None


def machine(board: Board, tree: Tree) -> list[Finding]:
    """Check that the running device tree has what the profile specifies."""
    remedy = f"boot with its overlay: rslctl overlay install --board {board.name}, then reboot"
    return [
        Finding(
            "machine", "error", f"this machine does not match board {board.name!r}: {text}", remedy
        )
        for text in overlay.unlike(board, tree, overlay.style_of(board, tree))
    ]


def _no_tree(host: Host, check: str) -> Finding:
    return Finding(
        check,
        "unknown",
        f"no running device tree in '{host.where(DEVICE_TREE)}'",
        "run it on the board; an image does not have it",
    )


# Memory


def memory(host: Host, board: Board, tree: Tree, link: Link) -> list[Finding]:
    """Check that the device tree and the kernel reserve the link's memory as the profile says."""
    found = []
    for key, region in link.regions():
        what = f"link {link.name}: {key} {_range(region)}"
        reserved: list[Finding] = []
        if tree.texts("/", "compatible"):
            reserved = list(_reserved(board, tree, what, region))
        refused = bool(tree.texts("/", "compatible")) and not reserved
        found += [*reserved, *_taken(host, what, region, refused=refused)]
    if not tree.texts("/", "compatible"):
        found.append(_no_tree(host, "memory"))
    return list(dict.fromkeys(found))


def _range(region: Region) -> str:
    return f"{region.base:#x}-{region.end - 1:#x}"


def _reserved(board: Board, tree: Tree, what: str, region: Region) -> Iterator[Finding]:
    """Check that a node of /reserved-memory reserves the region, with no-map."""
    carved = [
        (path, each)
        for path in tree.nodes
        if parent(path) == _RESERVED and tree.enabled(path)
        for each in tree.regions(path)
        if each.overlaps(region)
    ]
    holders = [path for path, each in carved if each == region]
    holders = holders or [path for path, each in carved if each.contains(region)]
    if not holders:
        yield Finding(
            "memory",
            "error",
            f"{what} is not reserved by a node of {_RESERVED}",
            f"boot with the overlay: rslctl overlay --board {board.name}",
        )
    for path, each in carved:
        if path not in holders:
            yield Finding(
                "memory",
                "error",
                f"{what} overlaps {path}, {_range(each)}",
                "move one of the two: the profile's memory, or the node of the base tree",
            )
        elif "no-map" not in tree.nodes[path]:
            yield Finding(
                "memory",
                "error",
                f"{what} is reserved by {path} without no-map: Linux maps it cached as well",
                "add no-map to the node; the overlay of rslctl has it",
            )


def _taken(host: Host, what: str, region: Region, *, refused: bool) -> Iterator[Finding]:
    """Check that the kernel does not use the region as System RAM.

    *refused*: the running tree reserves the region, so if the kernel uses it, the kernel refused
    that (__reserved_mem_reserve_reg() in drivers/of/of_reserved_mem.c of
    Linux).
    """
    text = content(host, iomem.PATH)
    # For users other than root, all addresses in the file are 0.
    resources = iomem.resources(text or "")
    if not iomem.tells(resources):
        why = "shows no addresses" if resources else "is not there or cannot be read"
        yield Finding("memory", "unknown", f"'{host.where(iomem.PATH)}' {why}", "run it as root")
        return
    kept = [each.region for each in resources if each.depth and each.name.lower() == "reserved"]
    for each in resources:
        ram = not each.depth and each.name == iomem.RAM and each.region.overlaps(region)
        if ram and not any(inner.contains(region) for inner in kept):
            text = f"{what} is System RAM ({_range(each.region)}): Linux gives it to programs"
            remedy = "reserve it with no-map, or keep Linux off it with mem=, and reboot"
            if refused:
                text += "; the kernel refused the reservation, which the tree has"
                remedy = (
                    "something lies there already when the kernel starts, often what the boot "
                    "loader loads or its own data ('dmesg' has \"failed to reserve memory\"): move "
                    "the profile's memory, or the boot loader's addresses, and reboot"
                )
            yield Finding("memory", "error", text, remedy)


# Channels


def channels(host: Host, board: Board, tree: Tree, link: Link) -> list[Finding]:
    """Check that the link's channels or doorbell work, and that no other device uses them."""
    node = overlay.notification_path(board, link, overlay.style_of(board, tree))
    if not tree.texts("/", "compatible"):
        return [_no_tree(host, "channel")]
    if node not in tree:
        return []  # machine() reports a missing node
    if isinstance(link.by, Doorbell):
        return list(_doorbell(host, tree, node))
    used = tree.specifiers(node, "mboxes", "#mbox-cells")
    found = [each for path in dict(used) for each in _controller(host, tree, path)]
    if isinstance(link.by, Ipi):
        found += _agent(host, tree, parent(used[0][0]) if used else "", link.by.agent)
    return found + list(_mailbox(host, tree, node, used))


def _controller(host: Host, tree: Tree, controller: str) -> Iterator[Finding]:
    """Check that a mailbox controller has a device and a driver.

    The device may be that of a node above the controller's node.
    """
    if not controller:
        yield Finding(
            "probe",
            "error",
            "mboxes refers to a phandle that no node has",
            "fix the label of the controller in the profile, rebuild the overlay and reboot",
        )
        return
    path, device = controller, bus.directory_of(host, controller)
    while device is None and path not in ("/", ""):
        path = parent(path)
        device = bus.directory_of(host, path) if path != "/" else None
    if device is None:
        disabled = "" if tree.enabled(controller) else ": it is disabled"
        yield Finding(
            "probe",
            "error",
            f"the kernel made no device of mailbox controller {controller}{disabled}",
            'set its status to "okay" (key "enable" of the profile) and reboot',
        )
    elif bus.driver_at(host, device) is None:
        driver = ", ".join(tree.texts(path, "compatible"))
        yield Finding(
            "probe",
            "error",
            f"mailbox controller {controller} has no driver{_deferred(host, device)}",
            f"load or build the kernel's mailbox driver for {driver}",
        )


def _deferred(host: Host, device: str) -> str:
    """The kernel's reason for a deferred probe, as the end of a message; "" if not deferred."""
    for line in (content(host, _DEFERRED) or "").splitlines():
        name, _, reason = line.partition("\t")
        if name.strip() == Path(device).name:
            return f": probe deferred: {reason.strip() or 'no reason given'}"
    return ""


def _others(tree: Tree, own: str, key: str) -> Iterator[str]:
    """The enabled nodes that have the property *key*, without the node *own*."""
    for path, properties in tree.nodes.items():
        if path != own and key in properties and tree.enabled(path):
            yield path


def _busy(host: Host, other: str, what: str) -> Finding:
    """The finding that the node *other* has *what* too: an error if it has a driver."""
    device = bus.directory_of(host, other)
    driver = bus.driver_at(host, device) if device else None
    if driver:
        return Finding(
            "channel",
            "error",
            f"{what} is in use by {other}, driver {driver}",
            "choose another channel in the profile, or disable that node",
        )
    return Finding(
        "channel",
        "warning",
        f"{what} belongs to {other} as well, which has no driver yet",
        "choose another channel in the profile, or disable that node",
    )


def _mailbox(
    host: Host, tree: Tree, node: str, used: list[tuple[str, tuple[int, ...]]]
) -> Iterator[Finding]:
    """Check that no other node has one of the mailbox channels *used* by *node*."""
    for other in _others(tree, node, "mboxes"):
        for controller, cells in dict.fromkeys(tree.specifiers(other, "mboxes", "#mbox-cells")):
            if controller and (controller, cells) in used:
                specifier = " ".join(map(str, cells))
                yield _busy(host, other, f"channel <{specifier}> of {controller}")


def _agent(host: Host, tree: Tree, own: str, agent: int) -> Iterator[Finding]:
    """Check that no other controller than *own* has the IPI agent of Linux in the profile."""
    for other in _others(tree, own, "xlnx,ipi-id"):
        controller = "xlnx,zynqmp-ipi-mailbox" in tree.texts(other, "compatible")
        if controller and tree.cell(other, "xlnx,ipi-id", -1) == agent:
            yield _busy(host, other, f"IPI agent {agent}")


def _doorbell(host: Host, tree: Tree, node: str) -> Iterator[Finding]:
    """Check that no device with a driver uses the doorbell's registers or interrupts."""
    registers = tree.regions(node)
    interrupts = {(each.controller, each.cells[:2]) for each in tree.interrupts(node)}
    for other in tree.nodes:
        if other == node or not tree.enabled(other):
            continue
        # Other links may share the register.
        ours = bool(set(tree.texts(other, "compatible")) & set(_RSL))
        wants = [
            f"the doorbell's register {_range(each)}"
            for each in registers
            if not ours and any(each.overlaps(region) for region in tree.regions(other))
        ] + [
            f"interrupt <{' '.join(map(str, each.cells))}>"
            for each in tree.interrupts(other)
            if (each.controller, each.cells[:2]) in interrupts
        ]
        device = bus.directory_of(host, other) if wants else None
        if device and bus.driver_at(host, device):
            yield from (_busy(host, other, what) for what in wants)
