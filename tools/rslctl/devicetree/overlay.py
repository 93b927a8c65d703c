# SPDX-License-Identifier: BSD-3-Clause
"""Make the overlay of a board profile, merge it into a base, and compare it with a running tree."""

from __future__ import annotations

import dataclasses
import re
from itertools import chain
from pathlib import Path

from rslctl.devicetree import differences, fifos, interrupts, remoteproc
from rslctl.devicetree.nodes import (
    ROOT,
    Cells,
    Fragment,
    Node,
    Overlay,
    Ref,
    Value,
    to_blob,
    wide,
)
from rslctl.devicetree.tree import Tree, from_blob
from rslctl.errors import RslError, SeveralError, os_error
from rslctl.linux import given_file
from rslctl.linux.command import run
from rslctl.profile import zynqmp
from rslctl.profile.model import (
    TRIGGERS,
    Board,
    Channels,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    Mailbox,
    NodeRef,
)
from rslctl.region import Region

#: The styles of the overlay's nodes: those of this project, and those of the original module and
#: daemon.
STYLES = ("rsl", "user-mailbox")

#: The directories and files in which Linux distributions have the trees of one kernel:
#: /usr/lib/linux-image-RELEASE/, /boot/dtbs/RELEASE/, /boot/dtb-RELEASE, /lib/modules/RELEASE/dtb/.
_KERNEL_FOLDER = re.compile(r"/(?:linux-image-|dtbs?[-/]|modules/)(\d+\.\d+[^/]*)")

Properties = tuple[tuple[str, Value], ...]


def choose(board: Board, transport: str) -> Board:
    """Return the board with *transport* in use on all links that offer it.

    *transport* is one of :data:`profile.model.TRANSPORTS`.

    Raises:
        RslError: no link offers this transport.
    """
    if not any(transport in link.offers for link in board.links):
        offers = "; ".join(f"{link.name}: {', '.join(link.offers)}" for link in board.links)
        raise RslError(
            f"no link of board {board.name!r} has a {transport}", hint=f"it has {offers}"
        )
    links = tuple(
        dataclasses.replace(link, transport=transport) if transport in link.offers else link
        for link in board.links
    )
    return dataclasses.replace(board, links=links)


def build(board: Board, style: str = STYLES[0], base: Tree | None = None) -> Overlay:
    """Make the overlay with the links of *board*, from the profile.

    *style* is one of :data:`STYLES`. The remotes' own nodes are changed where those of *base*, if
    it is known, are not as the links need them.

    Raises:
        SeveralError: an address or a size does not fit into the cells of the board.
        RslError: the style cannot describe the links.
    """
    return _Builder(board, style).build(base)


class _Builder:
    """The generator of one overlay."""

    def __init__(self, board: Board, style: str) -> None:
        too_large = board.too_large(*board.cells)
        if too_large:
            raise SeveralError([f"board {board.name!r}: {text}" for text in too_large])
        self._board = board
        self._style = style
        self._address, self._size = board.cells
        registers = [link.by.register for link in board.links if isinstance(link.by, Doorbell)]
        # Linux names a device by its node's name and address, so nodes of one register need
        # different names.
        self._shared = {each for each in registers if registers.count(each) > 1}
        if style == "user-mailbox":
            self._check_user_mailbox()

    def _check_user_mailbox(self) -> None:
        links = self._board.links
        by = links[0].by
        if len(links) > 1 or isinstance(by, Doorbell):
            offers = ", ".join(f"{link.name} ({link.transport})" for link in links)
            raise RslError(
                f"style user-mailbox is for one link over a mailbox; board "
                f"{self._board.name!r} has {offers}",
                hint="leave --style out, or choose --transport mailbox",
            )
        two = isinstance(by, Channels) and len(by.tx) == 1 and by.tx != by.rx
        if not (two or isinstance(by, Ipi)) or by.payload_vectors > 1:
            raise RslError(
                "style user-mailbox has one pair of channels, tx and rx, and one vector; "
                f"link {links[0].name!r} has others",
                hint="leave --style out",
            )

    def build(self, base: Tree | None) -> Overlay:
        board = self._board
        regions = {
            link.name: [(label(link, what), region) for what, region in link.regions()]
            for link in board.links
        }
        remotes, remote_changes = remoteproc.changes(board, regions, base)
        root_cells: Properties = (
            ("#address-cells", (self._address,)),
            ("#size-cells", (self._size,)),
        )
        reserved = Node(
            "reserved-memory",
            (*root_cells, ("ranges", None)),
            tuple(node for link in board.links for node in self._reserved(link)),
        )
        nodes = [node for link in board.links for node in self._link(link)]
        changes = [
            *(Fragment(node, Node("", (("status", "okay"),))) for node in board.enable),
            *(Fragment(node, Node("", (("status", "disabled"),))) for node in board.disable),
        ]
        style = "" if self._style == STYLES[0] else f" --style {self._style}"
        return Overlay(
            comment=f'Generated by "rslctl overlay --board {board.name}{style}"; '
            "edit the profile instead.",
            fragments=(
                # dtc warns of nodes whose parent in the source does not have the cells.
                Fragment(ROOT, Node("", root_cells, (reserved, *nodes, *remotes))),
                *(fragment for link in board.links for fragment in _sub_nodes(link)),
                *remote_changes,
                *changes,
            ),
        )

    def _reg(self, *regions: Region) -> Cells:
        return tuple(
            cell
            for region in regions
            for cell in (*wide(region.base, self._address), *wide(region.size, self._size))
        )

    def _reserved(self, link: Link) -> list[Node]:
        return [self._region(what, link, region) for what, region in link.regions()]

    def _region(self, what: str, link: Link, region: Region) -> Node:
        properties: Properties = (("reg", self._reg(region)), ("no-map", None))
        if what == "dma_pool":
            # kernel/dma/coherent.c: what a driver takes as its own pool.
            properties = (("compatible", "shared-dma-pool"), *properties)
        name = what.rstrip("0123456789").replace("_", "-")
        return Node(f"{name}@{region.base:x}", properties, label=label(link, what))

    def _link(self, link: Link) -> list[Node]:
        nodes = [self._uio(link)]
        if isinstance(link.by, Doorbell):
            return [*nodes, self._doorbell(link, link.by)]
        if isinstance(link.by, Ipi):
            nodes.append(self._ipi(link, link.by))
        return [*nodes, self._client(link, link.by)]

    def _uio(self, link: Link) -> Node:
        properties: Properties = (
            ("compatible", "generic-uio"),
            ("reg", self._reg(link.memory)),
        )
        if self._style == STYLES[0]:
            # drivers/uio/uio_pdrv_genirq.c: the "name" in sysfs.
            properties += (("linux,uio-name", link.name),)
        return Node(memory_path(link)[1:], properties)

    def _interrupts(self, numbers: tuple[int, ...], trigger: int) -> Properties:
        parent, width = self._board.interrupt_parent, self._board.interrupt_cells
        said: Properties = (("interrupt-parent", (parent,)),) if parent else ()
        # conflicts.check() refuses a base whose controller takes other numbers of cells.
        cells = width if width in interrupts.CELLS else max(interrupts.CELLS)
        found = (interrupts.specifier(number, trigger, cells) for number in numbers)
        return (*said, ("interrupts", tuple(chain(*found))))

    def _doorbell(self, link: Link, doorbell: Doorbell) -> Node:
        trigger = TRIGGERS[doorbell.trigger]
        properties: Properties = (
            ("compatible", "rsl,mbox-doorbell"),
            ("reg", self._reg(Region(doorbell.register, doorbell.size))),
            ("label", link.name),
            ("memory-region", (Ref(label(link, "memory")),)),
            *self._interrupts(doorbell.spis, trigger),
            ("rsl,kick-values", doorbell.kick_values),
            *((f"rsl,{name}-offset", (offset,)) for name, offset in doorbell.offsets),
        )
        if doorbell.status_masks:
            properties += (("rsl,status-masks", doorbell.status_masks),)
        suffix = f"-{_dashed(link)}" if doorbell.register in self._shared else ""
        return Node(f"rsl-mbox{suffix}@{doorbell.register:x}", properties)

    def _ipi(self, link: Link, ipi: Ipi) -> Node:
        """The controller's node with one child: Linux before 6.13 crashes on two children."""
        ours, theirs = zynqmp.AGENTS[ipi.agent], zynqmp.AGENTS[ipi.remote]
        requests = [zynqmp.request(ours, theirs), zynqmp.request(theirs, ours)]
        size = zynqmp.BUFFER_SIZE
        buffers = [Region(base + at, size) for base in requests for at in (0, size)]
        child = Node(
            f"mailbox@{requests[0]:x}",
            (
                ("compatible", "xlnx,zynqmp-ipi-dest-mailbox"),
                ("reg", self._reg(*buffers)),
                (
                    "reg-names",
                    tuple(
                        f"{side}_{what}_region"
                        for side in ("local", "remote")
                        for what in ("request", "response")
                    ),
                ),
                ("#mbox-cells", (1,)),
                ("xlnx,ipi-id", (ipi.remote,)),
            ),
            label=label(link, "mailbox"),
        )
        properties: Properties = (
            ("compatible", "xlnx,zynqmp-ipi-mailbox"),
            *self._interrupts((ours.spi,), TRIGGERS["level-high"]),
            ("xlnx,ipi-id", (ipi.agent,)),
            ("#address-cells", (self._address,)),
            ("#size-cells", (self._size,)),
            ("ranges", None),
        )
        return Node(f"zynqmp-ipi-{_dashed(link)}", properties, (child,))

    def _client(self, link: Link, mailbox: Mailbox) -> Node:
        mboxes, names = _channels(link, mailbox)
        if self._style == "user-mailbox":
            properties: Properties = (
                ("compatible", "user-mailbox"),
                ("mboxes", mboxes),
                ("mbox-names", names),
                *_style(mailbox),
            )
            return Node("umb", properties)
        properties = (
            ("compatible", "rsl,mbox-client"),
            ("label", link.name),
            ("memory-region", (Ref(label(link, "memory")),)),
            ("mboxes", mboxes),
            ("mbox-names", names),
        )
        if mailbox.payload_vectors > 1:
            properties += (("rsl,vectors", (mailbox.payload_vectors,)),)
        properties += _style(mailbox)
        return Node(f"rsl-mbox-{_dashed(link)}", properties)


def label(link: Link, what: str) -> str:
    """Return the label of the overlay's node for *what* of a link, for example "rpu0_memory"."""
    return f"{link.name}_{what}"


def _dashed(link: Link) -> str:
    return link.name.replace("_", "-")


def _channels(link: Link, mailbox: Mailbox) -> tuple[Cells, tuple[str, ...]]:
    """The properties "mboxes" and "mbox-names" of a link."""
    if isinstance(mailbox, Ipi):
        controller = Ref(label(link, "mailbox"))
        return (controller, 0, controller, 1), ("tx", "rx")
    if isinstance(mailbox, Fifos):
        return (mailbox.controller, Ref(label(link, "fifos"))), ("rx-tx",)
    numbers = [str(n) for n in range(len(mailbox.tx))] if len(mailbox.tx) > 1 else [""]
    cells: list[int | Ref | NodeRef] = []
    names = []
    for number, tx, rx in zip(numbers, mailbox.tx, mailbox.rx, strict=True):
        sides = [("rx-tx", tx)] if mailbox.tx == mailbox.rx else [("tx", tx), ("rx", rx)]
        for side, specifier in sides:
            cells += [mailbox.controller, *specifier]
            names.append(f"{side}{number}")
    return tuple(cells), tuple(names)


def _style(mailbox: Mailbox) -> Properties:
    """What the profile says of a controller that the kernel module does not know."""
    if not isinstance(mailbox, Channels):
        return ()
    texts = (("rsl,payload", mailbox.payload), ("rsl,tx-done", mailbox.tx_done))
    given: Properties = tuple((key, text) for key, text in texts if text)
    return (*given, ("rsl,rx-ack", None)) if mailbox.rx_ack else given


def _sub_nodes(link: Link) -> list[Fragment]:
    """The fragments that add sub-nodes to a mailbox controller of the base."""
    mailbox = link.by
    if not isinstance(mailbox, Fifos):
        return []
    # drivers/mailbox/omap-mailbox.c of Linux: FIFO, index of the interrupt, number of the user.
    index = mailbox.interrupt or 0
    properties: Properties = (
        ("ti,mbox-tx", (mailbox.tx, index, mailbox.user)),
        ("ti,mbox-rx", (mailbox.rx, index, mailbox.user)),
    )
    node = Node(f"{fifos.OWN}{_dashed(link)}", properties, label=label(link, "fifos"))
    return [Fragment(mailbox.controller, Node("", (("status", "okay"),), (node,)))]


def notification_path(board: Board, link: Link, style: str = STYLES[0]) -> str:
    """Return the path of the node that the kernel module's driver binds to for a link."""
    return f"/{_Builder(board, style)._link(link)[-1].name}"


def memory_path(link: Link) -> str:
    """Return the path of the node by which UIO maps a link's shared memory."""
    return f"/shmem@{link.memory.base:x}"


# Fitting a base


def for_base(board: Board, style: str, base: Tree) -> Overlay:
    """Make the overlay of *board*, fitted to *base*.

    Raises:
        SeveralError: the overlay does not fit; the error has all conflicts.
        RslError: *style* cannot describe the links.
    """
    # Half of what setup would load, and only a base needs it.
    from rslctl.devicetree import conflicts, fit_to_base

    conflicts.check_cells(board, base)
    board = fit_to_base.board_to_base(board, base)
    overlay = build(board, style, base)
    notes = conflicts.check(board, overlay, base)
    return dataclasses.replace(fit_to_base.to_base(overlay, base), notes=tuple(notes))


def read_base(path: Path) -> tuple[Tree, bytes]:
    """Read a device tree blob; return the tree and the blob.

    Raises:
        RslError: the file cannot be read or is not a device tree blob.
    """
    try:
        data = given_file.read(path)
    except OSError as error:
        raise os_error(f"read base device tree '{path}'", error) from error
    return from_blob(data, str(path), kernel_of(path)), data


def kernel_of(path: Path) -> str:
    """Return the release of the kernel whose package installed a tree; "" if its path has none."""
    found = _KERNEL_FOLDER.search(str(path.resolve()))
    return found[1] if found else ""


def merge(overlay: Overlay, base: bytes) -> bytes:
    """Apply the overlay to the blob *base*, and return the merged blob.

    Raises:
        RslError: as :func:`apply`.
    """
    return apply(base, to_blob(overlay))


def apply(base: bytes, overlay: bytes) -> bytes:
    """Apply the blob of an overlay to the blob *base* with ``fdtoverlay``; return the result.

    Raises:
        RslError: fdtoverlay is not installed or fails.
    """
    import tempfile  # slow to load, as conflicts

    try:
        with tempfile.TemporaryDirectory(prefix="rslctl-") as directory:
            return _fdtoverlay(Path(directory), overlay, base)
    except OSError as error:
        raise os_error(f"use a temporary directory in '{tempfile.gettempdir()}'", error) from error


def _fdtoverlay(folder: Path, overlay: bytes, base: bytes) -> bytes:
    (folder / "base.dtb").write_bytes(base)
    (folder / "overlay.dtbo").write_bytes(overlay)
    files = [str(folder / name) for name in ("base.dtb", "merged.dtb", "overlay.dtbo")]
    run(
        ["fdtoverlay", "-i", files[0], "-o", files[1], files[2]],
        hint="fdtoverlay is in the package device-tree-compiler",
    )
    return (folder / "merged.dtb").read_bytes()


# Comparing with a running machine


def style_of(board: Board, machine: Tree) -> str:
    """Return the style of the nodes that *machine* has; the first style if none matches fully."""
    for style in STYLES[1:]:
        try:
            if not unlike(board, machine, style):
                return style
        except RslError:
            continue  # the style cannot describe this board's links
    return STYLES[0]


def unlike(board: Board, machine: Tree, style: str = STYLES[0]) -> list[str]:
    """Return the differences of *machine* from the overlay of the profile, one line each."""
    names = machine.texts("/", "compatible")
    if not set(board.compatible) & set(names):
        wanted = " or ".join(map(repr, board.compatible))
        return [f"/: compatible is {names}, the profile says {wanted}"]
    from rslctl.devicetree import fit_to_base

    fitted = fit_to_base.board_to_base(board, machine)
    return differences.find(build(fitted, style, machine), machine)
