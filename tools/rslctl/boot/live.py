# SPDX-License-Identifier: BSD-3-Clause
"""Overlays of the running kernel, by the configfs interface that vendors add.

A directory is an overlay. Writing a blob to its file ``dtbo`` applies the overlay, its file
``status`` tells whether that worked, and removing the directory removes the overlay. Mainline
kernels do not have this interface.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

from rslctl.devicetree import overlay
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Ref, Value, to_blob
from rslctl.devicetree.tree import Tree, from_machine, parent
from rslctl.errors import RslError, SeveralError, os_error
from rslctl.linux import atomic
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile.model import Board, Fifos
from rslctl.region import Region
from rslctl.setup.journal import Journal

INTERFACE = "/sys/kernel/config/device-tree/overlays"
APPLIED = "applied"

_RESERVED = "/reserved-memory"


def check_interface(host: Host, name: str) -> None:
    """Check that the kernel has the interface.

    Raises:
        RslError: it does not have it.
    """
    if not host.exists(INTERFACE):
        raise RslError(
            f"this kernel takes no overlays at run time: there is no '{host.where(INTERFACE)}'",
            hint=f"rslctl overlay install --board {name} has it applied at boot; "
            "or is configfs not mounted at /sys/kernel/config?",
        )


def applied(host: Host) -> dict[str, str]:
    """The overlays in the interface, by name, with their status."""
    return {name: _status(host, name) for name in host.names(INTERFACE)}


def _status(host: Host, name: str) -> str:
    return host.read_text(f"{INTERFACE}/{name}/status")


def make(host: Host, board: Board) -> Overlay:
    """The overlay of *board* in the form that the running kernel can apply.

    Raises:
        SeveralError: a part of it is possible at boot only, or it does not fit the running tree.
    """
    machine = from_machine(host)
    reserved = _reserved(machine)
    problems = [
        f"link {link.name!r}: {what} at {region.base:#x}, {region.size:#x} bytes, is not "
        f"reserved (no-map): memory can only be reserved at boot"
        for link in board.links
        for what, region in link.regions()
        if region not in reserved
    ]
    problems += _bound_problems(host, board, machine)
    if problems:
        raise _only_at_boot(board, problems)
    found = {
        overlay.label(link, what): reserved[region]
        for link in board.links
        for what, region in link.regions()
    }
    # The memory that is reserved for the links is no conflict.
    nodes = {path: each for path, each in machine.nodes.items() if path not in found.values()}
    made = overlay.for_base(board, overlay.STYLES[0], dataclasses.replace(machine, nodes=nodes))
    phandles = {label: machine.phandle(path) for label, path in found.items()}
    problems = [
        f"{found[label]} has no phandle, and a run-time overlay cannot give it one"
        for label in made.references()
        if phandles.get(label) == 0
    ]
    problems += [
        f"{each.path} has no phandle, and a run-time overlay cannot give it one"
        for each in made.fragments
        if each.body.label
    ]
    if problems:
        raise _only_at_boot(board, problems)
    return _without_boot(made, machine, phandles)


def _only_at_boot(board: Board, problems: list[str]) -> SeveralError:
    return SeveralError(problems, hint=f"rslctl overlay install --board {board.name}, and reboot")


def _reserved(machine: Tree) -> dict[Region, str]:
    """The reserved-memory nodes of the running tree, by region."""
    return {
        region: path
        for path, properties in machine.nodes.items()
        if parent(path) == _RESERVED and "no-map" in properties and machine.enabled(path)
        for region in machine.regions(path)[:1]
    }


def _bound_problems(host: Host, board: Board, machine: Tree) -> list[str]:
    """The nodes that the overlay changes and that a driver is bound to, a line each."""
    problems = []
    for link in board.links:
        path = machine.find(link.by.controller) if isinstance(link.by, Fifos) else None
        if path and _bound(host, path):
            problems.append(
                f"link {link.name!r}: mailbox controller {path} has a driver already, which "
                "looks for sub-nodes only when it is bound"
            )
    for node in board.disable:
        path = machine.find(node)
        if path and machine.enabled(path) and _bound(host, path):
            problems.append(f"{path} has a driver already, and would have to be disabled")
    return problems


def _bound(host: Host, path: str) -> bool:
    """Whether a device of the node *path* has a driver."""
    wanted = host.real(DEVICE_TREE + path)
    for bus in host.names("/sys/bus"):
        for name in host.names(f"/sys/bus/{bus}/devices"):
            device = f"/sys/bus/{bus}/devices/{name}"
            if host.real(f"{device}/of_node") == wanted:
                return host.link_target(f"{device}/driver") is not None
    return False


def _without_boot(made: Overlay, machine: Tree, phandles: dict[str, int]) -> Overlay:
    """*made* without what the machine has: reserved memory, the root's cells, and status."""
    fragments = []
    for each in made.fragments:
        path = machine.find(each.target)
        body = _with_phandles(each.body, phandles)
        if path == "/":
            children = tuple(node for node in body.children if f"/{node.name}" != _RESERVED)
            body = Node("", (), children)
        elif path and not body.children and _has_status(machine, path, body):
            continue
        fragments.append(Fragment(each.target, body))
    return dataclasses.replace(made, fragments=tuple(fragments), symbols=False)


def _has_status(machine: Tree, path: str, body: Node) -> bool:
    now = (machine.texts(path, "status") or ["okay"])[0]
    return body.properties == (("status", "okay" if now == "ok" else now),)


def _with_phandles(node: Node, phandles: dict[str, int]) -> Node:
    properties = tuple((key, _number(value, phandles)) for key, value in node.properties)
    children = tuple(_with_phandles(each, phandles) for each in node.children)
    return dataclasses.replace(node, properties=properties, children=children)


def _number(value: Value, phandles: dict[str, int]) -> Value:
    if not isinstance(value, tuple) or not any(isinstance(cell, Ref) for cell in value):
        return value
    return tuple(
        phandles.get(cell.label, cell) if isinstance(cell, Ref) else cell
        for cell in value
        if not isinstance(cell, str)
    )


def apply(host: Host, board: Board, *, dry_run: bool = False) -> bool:
    """Apply the overlay of *board* to the running kernel. Returns False if it is applied already.

    Raises:
        RslError: the kernel does not have the interface, or does not apply the overlay. An overlay
            that is possible at boot only is refused before anything is written.
    """
    check_interface(host, board.name)
    status = applied(host).get(board.name)
    if status == APPLIED or not overlay.unlike(board, from_machine(host)):
        return False
    blob = to_blob(make(host, board))
    if dry_run:
        return True
    if status is not None:
        _rmdir(host, board.name)  # left over if another rslctl was killed
    directory = f"{INTERFACE}/{board.name}"
    try:
        host.make_directory(directory)
    except OSError as error:
        raise os_error(f"make '{host.where(directory)}'", error) from error
    try:
        _write(host, f"{directory}/dtbo", blob)
        status = _status(host, board.name)
        if status != APPLIED:
            raise RslError(
                f"the kernel did not apply the overlay: '{host.where(directory)}/status' is "
                f"{status!r}",
                hint="the kernel log (dmesg) says why",
            )
    except BaseException:
        with contextlib.suppress(RslError):
            _rmdir(host, board.name)
        raise
    return True


def _write(host: Host, name: str, blob: bytes) -> None:
    # The kernel applies the blob when the file is closed.
    try:
        fd = host.open(name, os.O_WRONLY)
        try:
            atomic.write_all(fd, blob)
        finally:
            os.close(fd)
    except OSError as error:
        raise os_error(
            f"write '{host.where(name)}'", error, hint="the kernel log (dmesg) says why"
        ) from error


def _rmdir(host: Host, name: str) -> None:
    directory = f"{INTERFACE}/{name}"
    try:
        host.remove_directory(directory)
    except OSError as error:
        raise os_error(
            f"remove '{host.where(directory)}'", error, hint="the kernel log (dmesg) says why"
        ) from error


def remove(host: Host, board: Board, *, dry_run: bool = False) -> bool:
    """Remove the overlay of *board* from the running kernel. Returns False if there is none.

    Raises:
        RslError: a link of the board is set up, or the kernel does not remove the overlay.
    """
    check_interface(host, board.name)
    if board.name not in applied(host):
        return False
    up = [link.name for link in board.links if link.name in Journal.links(host)]
    if up:
        raise RslError(
            f"link {up[0]!r} of the overlay is set up", hint=f"rslctl teardown --link {up[0]}"
        )
    if dry_run:
        return True
    _rmdir(host, board.name)
    if board.name in applied(host):
        raise RslError(
            f"the kernel still has '{host.where(INTERFACE)}/{board.name}'",
            hint="the kernel log (dmesg) says why",
        )
    return True
