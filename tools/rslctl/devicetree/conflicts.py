# SPDX-License-Identifier: BSD-3-Clause
"""The checks that an overlay fits its base tree; they report all conflicts together.

Each message begins with the name of its check. docs/reference/overlay.md lists the checks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from rslctl.devicetree import mailbox_styles, remoteproc
from rslctl.devicetree.nodes import Node, Overlay
from rslctl.devicetree.tree import Interrupt, Tree, parent
from rslctl.errors import SeveralError
from rslctl.profile import zynqmp
from rslctl.profile.model import (
    Board,
    Channels,
    Clash,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    NodeRef,
    clashes,
)
from rslctl.region import Region

_IPI_CONTROLLERS = {"xlnx,zynqmp-ipi-mailbox", "xlnx,versal-ipi-mailbox"}

#: The largest phandle that a base may use: the largest of all (Devicetree Specification v0.4,
#: 2.3.3), less 1000 for those that the overlay adds.
_PHANDLES = 0xFFFFFFFE - 1000


def check_cells(board: Board, base: Tree) -> None:
    """Check that the links' addresses and sizes fit into the cells of the base's root.

    Raises:
        SeveralError: an address or a size does not fit; the error has all of them.
    """
    _raise(base, list(_cells(board, base)))


def check(board: Board, overlay: Overlay, base: Tree) -> None:
    """Check that *overlay*, which was made from *board*, fits *base*.

    Raises:
        SeveralError: the overlay does not fit; the error has all conflicts.
    """
    _raise(base, list(_Checks(board, overlay, base).all()))


def _raise(base: Tree, problems: list[str]) -> None:
    if problems:
        raise SeveralError([f"{base.source}: {problem}" for problem in problems])


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
        status = {path: "disabled" for each in board.disable if (path := base.find(each))}
        status |= {path: "okay" for each in board.enable if (path := base.find(each))}
        status |= {
            path: "okay"
            for link in board.links
            if isinstance(link.by, Fifos) and (path := base.find(link.by.controller))
        }
        #: The base with the overlay's changes of status.
        self._base = base.with_status(status)
        self._ram = _joined(
            [
                region
                for path in base.nodes
                if base.texts(path, "device_type") == ["memory"] and base.enabled(path)
                for region in base.regions(path)
            ]
        )

    def all(self) -> Iterator[str]:
        yield from self._compatible()
        yield from self._nodes_there()
        yield from self._nodes_new()
        yield from self._links()
        for link in self._board.links:
            yield from self._memory(link)
            if isinstance(link.by, Doorbell):
                yield from self._register(link, link.by)
            elif isinstance(link.by, Fifos):
                yield from self._fifos(link, link.by)
            elif isinstance(link.by, Channels):
                yield from self._channels(link, link.by)
        yield from remoteproc.problems(self._board, self._given)
        yield from self._interrupts()
        yield from self._agents()

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
        for fragment in self._overlay.fragments:
            top = base.find(fragment.target)
            for path in _added(top, fragment.body) if top else ():
                if path in base and path not in targets and path != "/reserved-memory":
                    yield (f"node: it has {path} already, which the overlay adds; is it merged?")

    def _links(self) -> Iterator[str]:
        """No two links use the same resource."""
        links = self._board.links
        for clash in clashes(links):
            if self._matters(clash):
                yield f"{clash.check}: {links[clash.at].name}: {clash.text}"

    def _matters(self, clash: Clash) -> bool:
        """Whether a clash is of memory, of an agent, or of the transport that the link uses."""
        chosen = self._board.links[clash.at].transport
        return clash.key in ("memory", "firmware", chosen) or clash.check == "agent"

    def _used(self) -> Iterator[tuple[str, Region]]:
        """The regions that nodes use by their reg, with the path; nodes of RAM are left out."""
        for path in self._base.nodes:
            if self._base.texts(path, "device_type") != ["memory"] and not self._base.idle(path):
                for region in self._base.regions(path):
                    yield path, region

    def _memory(self, link: Link) -> Iterator[str]:
        """The regions of the link are in RAM, and no other node uses them."""
        taken = [*self._used(), *(("/memreserve/", each) for each in self._base.reserved)]
        for what, region in link.regions():
            text = f"{link.name}: {what} at {region.base:#x}, {region.size:#x} bytes"
            # On some boards the tree has no memory node: the boot loader adds it.
            if self._ram and not any(part.contains(region) for part in self._ram):
                shown = ", ".join(f"{part.base:#x} to {part.end:#x}" for part in self._ram)
                yield f"ram: {text}, is outside RAM, which is {shown}"
            for path, other in taken:
                if region.overlaps(other):
                    span = f"{other.base:#x}, {other.size:#x} bytes"
                    yield f"overlap: {text}, overlaps {path} at {span}"

    def _register(self, link: Link, doorbell: Doorbell) -> Iterator[str]:
        """The doorbell is not in memory, and not in the registers of a node in use."""
        block = Region(doorbell.register, doorbell.size)
        text = f"register: {link.name}: doorbell at {block.base:#x} is in"
        for path, region in self._used():
            if region.overlaps(block):
                yield f"{text} {path}, which the profile does not disable"
        regions = [region for each in self._board.links for _, region in each.regions()]
        if any(region.overlaps(block) for region in [*self._ram, *regions]):
            yield f"{text} memory"

    def _controller(self, link: Link, node: NodeRef) -> Iterator[str]:
        path = self._base.find(node)
        if path and not self._base.enabled(path):
            yield (f"channel: {link.name}: {path} is disabled, and the profile does not enable it")

    def _channels(self, link: Link, mailbox: Channels) -> Iterator[str]:
        """The controller has the mailbox channels of the link, and no other node uses them."""
        base, controller = self._base, self._base.find(mailbox.controller)
        if controller is None:
            return
        yield from self._controller(link, mailbox.controller)
        width = base.cell(controller, "#mbox-cells", 0)
        taken = {
            specifier: path
            for path in base.nodes
            if not base.idle(path)
            for target, specifier in base.specifiers(path, "mboxes", "#mbox-cells")
            if target == controller
        }
        for specifier in dict.fromkeys((*mailbox.tx, *mailbox.rx)):
            text = f"channel: {link.name}: <{' '.join(map(str, specifier))}>"
            if len(specifier) != width:
                yield f"{text} has {len(specifier)} cells, {controller} takes {width}"
            if specifier in taken:
                yield f"{text} of {controller} is used by {taken[specifier]}"
        if all(len(specifier) == width for specifier in (*mailbox.tx, *mailbox.rx)):
            yield from self._styles(link, controller, mailbox)

    def _styles(self, link: Link, controller: str, mailbox: Channels) -> Iterator[str]:
        """The kernel module can use the channels as the link does."""
        for problem in dict.fromkeys(mailbox_styles.problems(self._base, controller, mailbox)):
            yield f"channel: {link.name}: {controller} {problem}"

    def _fifos(self, link: Link, mailbox: Fifos) -> Iterator[str]:
        """The cluster has the FIFOs and the user of the link, and no other node uses them."""
        base, controller = self._base, self._base.find(mailbox.controller)
        if controller is None:
            return
        text = f"channel: {link.name}:"
        whole = Channels(mailbox.controller, ((),), ((),), mailbox.payload_vectors)
        yield from self._styles(link, controller, whole)
        for path in base.nodes:
            if parent(path) != controller:
                continue
            for key in ("ti,mbox-tx", "ti,mbox-rx"):
                used = base.cells(path, key)
                if used[:1] and used[0] in (mailbox.tx, mailbox.rx):
                    yield f"{text} FIFO {used[0]} of {controller} is used by {path}"
                if len(used) == 3 and used[2] != mailbox.user:
                    yield f"{text} user {mailbox.user} is not Linux, which is {used[2]} in {path}"
        number = base.cell(controller, "ti,mbox-num-fifos", 16)
        users = base.cell(controller, "ti,mbox-num-users", 4)
        for fifo in (mailbox.tx, mailbox.rx):
            if fifo >= number:
                yield f"{text} {controller} has {number} FIFOs, there is no {fifo}"
        if mailbox.user >= users:
            yield f"{text} {controller} has {users} users, there is no {mailbox.user}"

    def _interrupts(self) -> Iterator[str]:
        """No other node uses the interrupts of the links."""
        base, said = self._base, self._board.interrupt_parent
        wanted = {spi: link.name for link in self._board.links for spi in _spis(link)}
        if not wanted:
            return
        controller = base.find(said) if said else base.interrupt_parent("/")
        if not controller:
            # _nodes_there() reports a node that the profile names and the base does not have.
            if not said:
                yield "interrupt: / has no interrupt-parent, so the profile has to give one"
            return
        if base.cell(controller, "#interrupt-cells", 0) != 3:
            yield f"interrupt: {controller} does not take three cells, as a GIC does"
            return
        top = base.top_controller(controller)
        for path in base.nodes:
            if base.idle(path):
                continue
            for spi in [self._spi(interrupt, top) for interrupt in base.interrupts(path)]:
                if spi in wanted:
                    yield f"interrupt: {wanted[spi]}: SPI {spi} is used by {path}"

    def _spi(self, interrupt: Interrupt, top: str) -> int:
        """The number of a shared peripheral interrupt; -1 for any other."""
        cells = interrupt.cells
        if len(cells) != 3 or cells[0] or self._base.top_controller(interrupt.controller) != top:
            return -1
        return cells[1]

    def _agents(self) -> Iterator[str]:
        """The IPI agents of a ZynqMP: free in the base, as on the chip, one remote per parent."""
        base = self._base
        links = {link.by.agent: link for link in self._board.links if isinstance(link.by, Ipi)}
        for path in base.nodes:
            if not set(base.texts(path, "compatible")) & _IPI_CONTROLLERS:
                continue
            remotes = [each for each in base.nodes if parent(each) == path]
            agent = base.cell(path, "xlnx,ipi-id", -1)
            if len(remotes) > 1 and not base.idle(path):
                yield (
                    f"zynqmp: {path} has {len(remotes)} remotes: Linux before 6.13 crashes on "
                    "more than one under a parent"
                )
            if agent in links:
                yield (
                    f"agent: {links[agent].name}: IPI agent {agent} is that of {path}, "
                    f"use another of {', '.join(map(str, zynqmp.LOCAL))}"
                )
            for link in links.values():
                if isinstance(link.by, Ipi) and link.by.remote == agent:
                    yield f"agent: {link.name}: remote {agent} is the agent of {path}, Linux's own"
            spis = [each.cells[1] for each in base.interrupts(path)[:1] if len(each.cells) > 1]
            known = zynqmp.AGENTS.get(agent)
            if links and known and spis not in ([], [known.spi]):
                yield (
                    f"agent: {path} says that IPI agent {agent} has SPI {spis[0]}, "
                    f"on a ZynqMP it has {known.spi}"
                )


def _added(top: str, node: Node) -> Iterator[str]:
    """The paths of the nodes below *node* when it is merged at the path *top*."""
    for child in node.children:
        path = f"{top.rstrip('/')}/{child.name}"
        yield path
        yield from _added(path, child)


def _joined(regions: list[Region]) -> list[Region]:
    """Join the regions that touch or overlap."""
    result: list[Region] = []
    for region in sorted(regions, key=lambda each: each.base):
        if result and region.base <= result[-1].end:
            end = max(result[-1].end, region.end)
            result[-1] = Region(result[-1].base, end - result[-1].base)
        else:
            result.append(region)
    return result


def _spis(link: Link) -> tuple[int, ...]:
    if isinstance(link.by, Doorbell):
        return link.by.spis
    return (zynqmp.AGENTS[link.by.agent].spi,) if isinstance(link.by, Ipi) else ()
