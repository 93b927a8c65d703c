# SPDX-License-Identifier: BSD-3-Clause
"""The checks that an overlay fits its base tree; they report all conflicts together.

Each message begins with the name of its check. docs/reference/overlay.md lists the checks.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from functools import cached_property

from rslctl.devicetree import interrupts, mailbox_conflicts, merged_links, remoteproc
from rslctl.devicetree.memory import Memory
from rslctl.devicetree.nodes import Node, Overlay
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError
from rslctl.profile import zynqmp
from rslctl.profile.model import (
    Board,
    Clash,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    NodeRef,
    clashes,
)
from rslctl.region import Region

#: The largest phandle that a base may use: the largest of all (Devicetree Specification v0.4,
#: 2.3.3), less 1000 for those that the overlay adds.
_PHANDLES = 0xFFFFFFFE - 1000


def check_cells(board: Board, base: Tree) -> None:
    """Check that *base* is a board's, and that the links' addresses fit into its root's cells.

    Raises:
        RslError: the base is an overlay, or a FIT image.
        SeveralError: an address or a size does not fit; the error has all of them.
    """
    check_kind(base)
    _raise(base, list(_cells(board, base)))


def check(board: Board, overlay: Overlay, base: Tree) -> list[str]:
    """Check that *overlay*, which was made from *board*, fits *base*.

    Return what could not be checked, and what only some kernels take: one line each.

    Raises:
        SeveralError: the overlay does not fit; the error has all conflicts.
    """
    checks = _Checks(board, overlay, base)
    _raise(base, list(checks.all()))
    return [f"{base.source}: {each}" for each in dict.fromkeys(checks.notes)]


def _raise(base: Tree, problems: list[str]) -> None:
    if problems:
        raise SeveralError([f"{base.source}: {problem}" for problem in problems])


def check_kind(base: Tree) -> None:
    """Check that *base* is a tree that a kernel is given.

    Raises:
        RslError: it is a FIT image, or an overlay.
    """
    if {"/images", "/configurations"} <= base.nodes.keys():
        raise RslError(
            f"{base.source}: is a FIT image, which contains device trees",
            hint="take one out: dumpimage -l FILE lists them, dumpimage -T flat_dt -p N -o OUT "
            "FILE writes number N",
        )
    if "/__fixups__" in base or any(path.endswith("/__overlay__") for path in base.nodes):
        raise RslError(
            f"{base.source}: is an overlay (.dtbo), and no base",
            hint="give the .dtb that it goes onto; fdtoverlay applies it to that",
        )


def _cells(board: Board, base: Tree) -> Iterator[str]:
    cells = [base.cell("/", key, 0) for key in ("#address-cells", "#size-cells")]
    if not all(1 <= each <= 2 for each in cells):
        yield f"cells: / has #address-cells {cells[0]}, #size-cells {cells[1]}, expected 1 or 2"
        return
    if "/reserved-memory" in base:
        own = [base.cell("/reserved-memory", key, 0) for key in ("#address-cells", "#size-cells")]
        if own != cells:
            yield f"cells: /reserved-memory has {own}, but / has {cells}"
    yield from (f"cells: {text}" for text in board.too_large(cells[0], cells[1]))


class _Checks:
    """The checks of one overlay against one base; each yields the messages of its conflicts."""

    def __init__(self, board: Board, overlay: Overlay, base: Tree) -> None:
        self._board = board
        self._overlay = overlay
        self._given = base
        #: What is no conflict, but has to be said.
        self.notes: list[str] = []
        status = {path: "disabled" for each in board.disable if (path := base.find(each))}
        status |= {path: "okay" for each in board.enable if (path := base.find(each))}
        status |= {
            path: "okay"
            for link in board.links
            if isinstance(link.by, Fifos) and (path := base.find(link.by.controller))
        }
        #: The base with the overlay's changes of status.
        self._base = base.with_status(status)
        self._ram = Memory(self._base)

    def all(self) -> Iterator[str]:
        yield from self._compatible()
        yield from self._nodes_there()
        yield from self._nodes_new()
        yield from self._links()
        for link in self._board.links:
            yield from self._memory(link)
            if isinstance(link.by, Doorbell):
                yield from self._register(link, link.by)
        yield from remoteproc.problems(self._board, self._given)
        yield from self._pools()
        yield from self._interrupts()
        yield from mailbox_conflicts.find(self._board, self._base, self.notes)

    def _compatible(self) -> Iterator[str]:
        board, names = self._board, self._base.texts("/", "compatible")
        if not set(names) & set(board.compatible):
            yield (
                f"compatible: it is for {', '.join(names) or 'no board'}, "
                f"board {board.name!r} is {' or '.join(board.compatible)}"
            )
        if max(self._base.phandles, default=0) > _PHANDLES:
            yield f"phandle: {max(self._base.phandles):#x} is used, the overlay needs larger ones"

    def _nodes_there(self) -> Iterator[str]:
        base = self._base
        for node in self._overlay.base_nodes():
            if base.find(node) is not None:
                continue
            near = difflib.get_close_matches(node.label, base.labels, 2)
            for path in node.paths:
                near += difflib.get_close_matches(path, base.nodes, 2)
            hint = f"; near it: {', '.join(near)}" if near else ""
            if node.label and not node.paths and not base.labels:
                hint = (
                    "; it has no labels (__symbols__), so the profile has to give the node's path"
                )
            yield f"label: there is no node {node}{hint}"

    def _nodes_new(self) -> Iterator[str]:
        base = self._base
        targets = {path for node in self._overlay.base_nodes() if (path := base.find(node))}
        merged = any(
            merged_links.COMPATIBLES & set(base.texts(path, "compatible")) for path in base.nodes
        )
        for fragment in self._overlay.fragments:
            top = base.find(fragment.target)
            for path in _added(top, fragment.body) if top else ():
                if path in base and path not in targets and path != "/reserved-memory":
                    remedy = "another address" if "@" in path else "another name for the link"
                    hint = (
                        "which the overlay adds; is it merged?"
                        if merged
                        else f"which is not the overlay's: choose {remedy}"
                    )
                    yield f"node: it has {path} already, {hint}"

    def _links(self) -> Iterator[str]:
        """No two links use the same resource, whatever the profile calls its node."""
        links = tuple(self._resolved(link) for link in self._board.links)
        for clash in clashes(links):
            if self._matters(clash):
                yield f"{clash.check}: {links[clash.at].name}: {clash.text}"

    def _resolved(self, link: Link) -> Link:
        """The link with its controller by the path in the base."""
        by = link.by
        if isinstance(by, (Doorbell, Ipi)) or not (path := self._base.find(by.controller)):
            return link
        by = dataclasses.replace(by, controller=NodeRef(paths=(path,)))
        return dataclasses.replace(link, offers={**link.offers, link.transport: by})

    def _matters(self, clash: Clash) -> bool:
        """Whether a clash is of memory, of an agent, or of the transport that the link uses."""
        chosen = self._board.links[clash.at].transport
        return clash.key in ("memory", "firmware", chosen) or clash.check == "agent"

    @cached_property
    def _used(self) -> list[tuple[str, Region]]:
        """The regions that nodes use by their reg, with the path; RAM of Linux is left out."""
        base = self._base
        return [
            (path, region)
            for path in base.nodes
            if not base.idle(path)
            and not (base.texts(path, "device_type") == ["memory"] and base.enabled(path))
            for region in base.regions(path)
        ]

    def _memory(self, link: Link) -> Iterator[str]:
        """The regions of the link are in RAM, and no other node uses them."""
        taken = [*self._used, *(("/memreserve/", each) for each in self._base.reserved)]
        taken += [("/chosen (the initrd)", self._base.initrd)] if self._base.initrd else []
        for what, region in link.regions():
            text = f"{link.name}: {what} at {region.base:#x}, {region.size:#x} bytes"
            inside = self._ram.contains(region)
            if inside is None:
                known = f"it is {self._ram}" if self._ram.starts else "there is no memory node"
                self.notes.append(
                    f"ram: {text}, was not checked to be in RAM: {known}; the boot loader fills "
                    "it in, so --base /sys/firmware/fdt of the running machine has it"
                )
            elif not inside and not self._ram.ram:
                yield f"ram: {text}, is below RAM, which is {self._ram}"
            elif not inside:
                yield (
                    f"ram: {text}, is outside RAM, which is {self._ram}; if the boot loader adds "
                    "more, --base /sys/firmware/fdt of the running machine has it"
                )
            for path, other in taken:
                if region.overlaps(other):
                    span = f"{other.base:#x}, {other.size:#x} bytes"
                    yield f"overlap: {text}, overlaps {path} at {span}"

    def _pools(self) -> Iterator[str]:
        """The pools without an address still fit when the regions of the links are reserved."""
        wanted = [
            (f"{link.name}: {what}", region)
            for link in self._board.links
            for what, region in link.regions()
        ]
        regions = [region for _, region in wanted]
        for pool in self._ram.displaced(regions):
            guilty = [each for each in wanted if pool in self._ram.displaced([each[1]])] or wanted
            found = self._ram.elsewhere(pool, regions)
            ways = [f"with alloc-ranges at {found.base:#x}"] if found else []
            for name, region in guilty:
                others = [each for each in regions if each is not region]
                place = self._ram.proposed(region, others)
                ways += [f"with {name} at {place.base:#x}"] if place else []
            within = " and ".join(f"{each.base:#x} to {each.end:#x}" for each in pool.ranges)
            if not ways and within:
                ways.append(f"with {' and '.join(name for name, _ in guilty)} outside {within}")
            names = " and ".join(f"{name} at {region.base:#x}" for name, region in guilty)
            remedy = f"; it would fit {', or '.join(ways)}" if ways else ""
            yield f"pool: {names}, leaves no room for {pool}{remedy}"

    def _register(self, link: Link, doorbell: Doorbell) -> Iterator[str]:
        """The doorbell is not in memory, and not in the registers of a node in use."""
        block = Region(doorbell.register, doorbell.size)
        text = f"register: {link.name}: doorbell at {block.base:#x} is in"
        for path, region in self._used:
            if region.overlaps(block):
                yield f"{text} {path}, which the profile does not disable"
        regions = [region for each in self._board.links for _, region in each.regions()]
        if any(region.overlaps(block) for region in [*self._ram.ram, *regions]):
            yield f"{text} memory"

    def _interrupts(self) -> Iterator[str]:
        """The controller has the interrupts of the links, and no other node uses them."""
        base, said = self._base, self._board.interrupt_parent
        wanted = {spi: link.name for link in self._board.links for spi in _spis(link)}
        if not wanted:
            return
        controller = base.find(said) if said else base.interrupt_parent("/")
        if not controller:
            # _nodes_there() reports a node that the profile names and the base does not have.
            if not said:
                yield f"interrupt: / has no interrupt-parent{self._parents()}"
            return
        if problem := interrupts.problem(base, controller):
            yield f"interrupt: {controller} {problem}"
            return
        yield from self._interrupts_used(controller, wanted)

    def _interrupts_used(self, controller: str, wanted: dict[int, str]) -> Iterator[str]:
        base = self._base
        # riscv,ndev: the number of interrupts of a PLIC, which begin with 1.
        last = base.cell(controller, "riscv,ndev", 0)
        for spi, name in wanted.items():
            if last and not 1 <= spi <= last:
                yield f"interrupt: {name}: {controller} has the interrupts 1 to {last}, no {spi}"
        kind = "SPI" if base.cell(controller, "#interrupt-cells", 0) > 2 else "interrupt"
        for path in base.nodes:
            if base.idle(path):
                continue
            for each in base.interrupts(path):
                spi = interrupts.number(each)
                if spi in wanted and interrupts.same_numbers(base, each.controller, controller):
                    yield f"interrupt: {wanted[spi]}: {kind} {spi} is used by {path}"

    def _parents(self) -> str:
        """The interrupt controller that a profile could name."""
        usable = interrupts.parents(self._base)
        hint = f", for example {usable[0]!r}" if usable else ""
        return f", so the profile has to give one: interrupt-parent{hint}"


def _added(top: str, node: Node) -> Iterator[str]:
    """The paths of the nodes below *node* when it is merged at the path *top*."""
    for child in node.children:
        path = f"{top.rstrip('/')}/{child.name}"
        yield path
        yield from _added(path, child)


def _spis(link: Link) -> tuple[int, ...]:
    if isinstance(link.by, Doorbell):
        return link.by.spis
    return (zynqmp.AGENTS[link.by.agent].spi,) if isinstance(link.by, Ipi) else ()
