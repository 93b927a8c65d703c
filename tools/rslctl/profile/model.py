# SPDX-License-Identifier: BSD-3-Clause
"""What a board profile says of a board, as data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from rslctl.errors import RslError
from rslctl.region import Region

#: Interrupt types of include/dt-bindings/interrupt-controller/irq.h of Linux: those that a
#: shared peripheral interrupt of a GIC can have (drivers/irqchip/irq-gic.c).
TRIGGERS = {"edge-rising": 1, "level-high": 4}

#: When a remote may be started: once its daemon is ready, or by setup.
STARTS = ("daemon", "setup")

#: How a link can be notified.
TRANSPORTS = ("mailbox", "doorbell")


@dataclass(frozen=True)
class NodeRef:
    """A node of the base tree: by label, by path, or both; empty where there is none.

    There are several paths where kernels call the node differently.
    """

    label: str = ""
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"&{self.label}"] * bool(self.label) + list(self.paths))


@dataclass(frozen=True)
class Channels:
    """Mailbox channels that the base's controller has; vector n is entry n of both tuples."""

    controller: NodeRef
    #: Specifiers of the channels, without the phandle.
    tx: tuple[tuple[int, ...], ...]
    rx: tuple[tuple[int, ...], ...]
    #: Where one channel carries several in its payload; 0 otherwise.
    payload_vectors: int = 0


@dataclass(frozen=True)
class Fifos:
    """Two FIFOs of a TI K3 mailbox cluster, for which the overlay adds a sub-node."""

    controller: NodeRef
    tx: int
    rx: int
    #: Linux's number among the users of the cluster.
    user: int = 0
    payload_vectors: int = 0


@dataclass(frozen=True)
class Ipi:
    """A pair of ZynqMP IPI agents, keys of :data:`zynqmp.AGENTS`: Linux's and the remote's."""

    agent: int
    remote: int
    payload_vectors: int = 0


@dataclass(frozen=True)
class Doorbell:
    """The doorbell transport of a link; vector n is entry n of each tuple."""

    #: Physical address of the 32-bit register that rings the remote, or of its block.
    register: int
    #: What Linux writes there.
    kick_values: tuple[int, ...]
    #: The shared peripheral interrupts by which the remote rings Linux.
    spis: tuple[int, ...]
    #: A key of :data:`TRIGGERS`.
    trigger: str
    #: Bytes of the block.
    size: int = 4
    #: Offsets of the registers that level interrupts need, by name in the device tree.
    offsets: tuple[tuple[str, int], ...] = ()
    status_masks: tuple[int, ...] = ()


#: How a link is notified.
Mailbox = Channels | Fifos | Ipi
Transport = Mailbox | Doorbell


@dataclass(frozen=True)
class RemoteSide:
    """What the remote uses to notify Linux and to be kicked, where the profile tells."""

    #: Physical address of the register that rings Linux; None where a mailbox driver does.
    register: int | None = None
    #: What the remote writes there, per vector.
    notify_values: tuple[int, ...] = ()
    #: The interrupts that kicks arrive by: one per vector, or one for all.
    interrupts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Virtio:
    """The virtio devices that the daemon serves, in its order: keys of :data:`virtio.KINDS`."""

    devices: tuple[str, ...]
    #: Whether the daemon puts a device tree before them.
    device_tree: bool


@dataclass(frozen=True)
class Remoteproc:
    """What boots the remote: a device of the kernel's remoteproc framework."""

    node: NodeRef
    #: Name below /lib/firmware; "" leaves the one that the kernel has.
    firmware: str
    #: A key of :data:`STARTS`.
    start: str


@dataclass(frozen=True)
class Access:
    """Whose processes "rslctl serve" gives a link to, by name or number."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """One pairing of Linux with a remote."""

    name: str
    memory: Region
    #: The memory that the remote's program occupies, where Linux has to leave it alone.
    firmware: Region | None
    #: The transports that it can have, by name: one of :data:`TRANSPORTS`.
    offers: dict[str, Transport]
    #: The name of the one that it has.
    transport: str
    remote: RemoteSide | None = None
    virtio: Virtio | None = None
    #: Room in the shared memory for what the remote has to know, as an absolute range.
    remote_dt: Region | None = None
    remoteproc: Remoteproc | None = None
    #: None where the profile leaves it open.
    access: Access | None = None
    #: Vectors of a link without hardware, which offers no transport; 0 otherwise.
    sim: int = 0

    @property
    def by(self) -> Transport:
        """The transport that it has."""
        return self.offers[self.transport]

    def regions(self) -> list[tuple[str, Region]]:
        """The memory that it has, by key."""
        return [("memory", self.memory)] + ([("firmware", self.firmware)] if self.firmware else [])

    @property
    def vectors(self) -> int:
        if self.sim:
            return self.sim
        by = self.by
        if isinstance(by, Doorbell):
            return len(by.kick_values)
        return by.payload_vectors or (len(by.tx) if isinstance(by, Channels) else 1)


@dataclass(frozen=True)
class Board:
    """What a profile says."""

    name: str
    description: str
    #: Entries of the root node's "compatible": the machine has one of them at least.
    compatible: tuple[str, ...]
    links: tuple[Link, ...]
    #: Nodes of the base that Linux must not use, and that it must.
    disable: tuple[NodeRef, ...] = ()
    enable: tuple[NodeRef, ...] = ()
    #: Cells of addresses and of sizes at the root of the base.
    cells: tuple[int, int] = (2, 2)
    #: The interrupt controller, where the base's root does not say it for all.
    interrupt_parent: NodeRef | None = None

    def too_large(self, address: int, size: int) -> list[str]:
        """What of the links does not fit into so many cells of addresses and of sizes."""
        regions = [(link, what, region) for link in self.links for what, region in link.regions()]
        regions += [
            (link, "doorbell", Region(link.by.register, link.by.size))
            for link in self.links
            if isinstance(link.by, Doorbell)
        ]
        return [
            f"{link.name}: {what} at {region.base:#x}, {region.size:#x} bytes, does not fit into "
            f"{address} and {size} cells"
            for link, what, region in regions
            if region.end > 1 << 32 * address or region.size >= 1 << 32 * size
        ]

    def link(self, name: str | None) -> Link:
        """The link called *name*; where the board has one link, None means that one.

        Raises:
            RslError: there is no such link, or the board has several and none is named.
        """
        known = ", ".join(link.name for link in self.links)
        if name is None:
            if len(self.links) == 1:
                return self.links[0]
            raise RslError(f"board {self.name!r} has several links: {known}", hint="add --link")
        for link in self.links:
            if link.name == name:
                return link
        close = difflib.get_close_matches(name, [link.name for link in self.links], 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise RslError(
            f"board {self.name!r} has no link {name!r}", hint=f"{hint}its links: {known}"
        )


@dataclass(frozen=True)
class Clash:
    """Two links of a board want the same; *at* is the index of the later one."""

    at: int
    #: The key of the link's table that is at fault, and the check that it belongs to.
    key: str
    check: str
    text: str


def clashes(links: tuple[Link, ...]) -> list[Clash]:
    """What the links of a board take from each other."""
    found = []
    for at, link in enumerate(links):
        for other in links[:at]:
            found += [
                Clash(
                    at,
                    key,
                    "overlap",
                    f"{region.base:#x}, {region.size:#x} bytes, overlaps {what} of link "
                    f"{other.name}",
                )
                for key, region in link.regions()
                for what, taken in other.regions()
                if region.overlaps(taken)
            ]
            for name in set(link.offers) & set(other.offers):
                for want in _wants(link.offers[name]) & _wants(other.offers[name]):
                    check = want[0]
                    text = f"{' '.join(map(str, want[1:]))} is used by link {other.name}"
                    found.append(Clash(at, name, check, text))
        agents = [each.agent for each in map(_ipi, links) if each]
        ipi = _ipi(link)
        if ipi and ipi.remote in agents:
            found.append(
                Clash(at, "mailbox", "agent", f"remote {ipi.remote} is an agent of Linux's")
            )
    return sorted(found, key=lambda clash: (clash.at, clash.check, clash.key, clash.text))


def _ipi(link: Link) -> Ipi | None:
    mailbox = link.offers.get("mailbox")
    return mailbox if isinstance(mailbox, Ipi) else None


def _wants(by: Transport) -> set[tuple[str, ...]]:
    """What a transport needs for itself: a check, and what it says of it."""
    if isinstance(by, Doorbell):
        return {("interrupt", "SPI", str(spi)) for spi in by.spis}
    if isinstance(by, Ipi):
        return {("agent", "IPI agent", str(by.agent))}
    if isinstance(by, Fifos):
        return {("channel", "FIFO", str(n), "of", str(by.controller)) for n in (by.tx, by.rx)}
    return {
        ("channel", f"<{' '.join(map(str, each))}>", "of", str(by.controller))
        for each in (*by.tx, *by.rx)
    }
