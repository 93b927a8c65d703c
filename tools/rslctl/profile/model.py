# SPDX-License-Identifier: BSD-3-Clause
"""The data model of a board profile: boards, links, transports and what belongs to them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from rslctl.errors import RslError
from rslctl.profile.cores import BITS_32, BITS_64, CORES, Range, seen
from rslctl.region import Region

#: The interrupt types that a shared peripheral interrupt of a GIC can have
#: (drivers/irqchip/irq-gic.c of Linux), with their numbers in
#: include/dt-bindings/interrupt-controller/irq.h of Linux.
TRIGGERS = {"edge-rising": 1, "level-high": 4}

#: When a remote is started: after its daemon is ready, or by setup.
STARTS = ("daemon", "setup")

#: What a message is to a mailbox controller's driver, and who tells that a message was sent: the
#: values of rsl,payload and of rsl,tx-done in the device tree.
PAYLOADS = ("none", "u32-pointer", "u32-value", "zynqmp", "buffer")
TX_DONE = ("controller", "client")

#: The modes of a cluster of remotes, for those that have modes.
MODES = ("split", "lockstep", "single-cpu", "single-core")

#: The names of the transports that a device tree describes.
TRANSPORTS = ("mailbox", "doorbell")
#: The transport of a link to another virtual machine, and of one that two programs play.
IVSHMEM, SIM = "ivshmem", "sim"


@dataclass(frozen=True)
class NodeRef:
    """A reference to a node of the base tree: by label, by path, or by both.

    There are several paths if kernel versions have different names for the node.
    """

    label: str = ""
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"&{self.label}"] * bool(self.label) + list(self.paths))


@dataclass(frozen=True)
class Channels:
    """Channels of a mailbox controller in the base tree; vector n is entry n of both tuples."""

    controller: NodeRef
    #: The channels' specifiers without the phandle.
    tx: tuple[tuple[int, ...], ...]
    rx: tuple[tuple[int, ...], ...]
    #: The number of vectors in the payload of the only channel; 0 if the payload carries none.
    payload_vectors: int = 0
    #: For a controller that the kernel module does not know: one of :data:`PAYLOADS`, one of
    #: :data:`TX_DONE`, and whether what is received has to be acknowledged.
    payload: str = ""
    tx_done: str = ""
    rx_ack: bool = False


@dataclass(frozen=True)
class Fifos:
    """Two FIFOs of a TI mailbox cluster; the overlay adds a sub-node for them."""

    controller: NodeRef
    tx: int
    rx: int
    #: The number of Linux among the users of the cluster.
    user: int = 0
    payload_vectors: int = 0
    #: The index of that user's interrupt among those of the cluster; None if the base says it.
    interrupt: int | None = None


@dataclass(frozen=True)
class Ipi:
    """The IPI agents of Linux and of the remote on a ZynqMP: keys of :data:`zynqmp.AGENTS`."""

    agent: int
    remote: int
    payload_vectors: int = 0


@dataclass(frozen=True)
class Doorbell:
    """The doorbell transport of a link; vector n is entry n of each tuple."""

    #: Physical address of the block of registers; at offset "kick", or 0, is the 32-bit register
    #: that rings the remote.
    register: int
    #: The value that Linux writes to that register, per vector.
    kick_values: tuple[int, ...]
    #: The numbers of the interrupts by which the remote rings Linux: of a GIC's shared peripheral
    #: interrupts, or of another controller's interrupts.
    spis: tuple[int, ...]
    #: A key of :data:`TRIGGERS`.
    trigger: str
    #: Size of the block in bytes.
    size: int = 4
    #: Offsets of registers in the block in bytes, by their name in the device tree.
    offsets: tuple[tuple[str, int], ...] = ()
    #: The bits of the status register that belong to each vector.
    status_masks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ivshmem:
    """A link to another virtual machine, by QEMU's PCI device ivshmem-doorbell."""

    vectors: int
    #: The side of this machine: a key of :data:`rslctl.linux.ivshmem.ROLES`.
    role: str
    #: The PCI address of the device; "" for the one that is number *instance* by address.
    address: str = ""
    instance: int = 0

    @property
    def device(self) -> tuple[str, int]:
        """What tells the device."""
        return self.address, self.instance


#: The description of a transport: of any mailbox, and of any transport.
Mailbox = Channels | Fifos | Ipi
Transport = Mailbox | Doorbell


@dataclass(frozen=True)
class RemoteSide:
    """The remote and its side of a transport, as far as the profile describes them."""

    #: The address, for the remote, of the register that rings Linux; None if a mailbox driver
    #: rings.
    register: int | None = None
    #: The value that the remote writes to that register, per vector.
    notify_values: tuple[int, ...] = ()
    #: The remote's interrupts for kicks: one per vector, or one for all vectors.
    interrupts: tuple[int, ...] = ()
    #: A key of :data:`cores.CORES`; "" if the profile does not say.
    core: str = ""
    #: The memory that it reaches, instead of what its core reaches.
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True)
class Virtio:
    """The virtio devices that the daemon serves."""

    #: Words of :func:`virtio.parse`, in the order of the devices in the memory.
    devices: tuple[str, ...]
    #: Whether the daemon writes a device tree before the devices.
    device_tree: bool
    #: The version of the registers, one of :data:`virtio.VERSIONS`.
    version: int = 1


@dataclass(frozen=True)
class Remoteproc:
    """The device of the kernel's remoteproc framework that boots the remote."""

    node: NodeRef
    #: File name below /lib/firmware; "" keeps the name that the kernel has.
    firmware: str
    #: One of :data:`STARTS`.
    start: str
    #: One of :data:`MODES`; "" leaves the cluster in the mode that the base gives it.
    mode: str = ""
    #: Memory that the program is loaded into, beside the firmware region and the shared memory.
    regions: tuple[Region, ...] = ()
    #: Memory for the driver's own allocations, where the base's node has none.
    dma_pool: Region | None = None
    #: The regions that the base's node has, if there is no base to read them from.
    memory_region: tuple[NodeRef, ...] = ()


@dataclass(frozen=True)
class Access:
    """The users and groups whose processes get a link from "rslctl serve": names or numbers."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A link between Linux and one remote."""

    name: str
    #: The shared memory.
    memory: Region
    #: The memory of the remote's program, if Linux must not use it.
    firmware: Region | None
    #: The transports that the link can use, by name: keys are in :data:`TRANSPORTS`.
    offers: dict[str, Transport]
    #: The name of the transport that the link uses.
    transport: str
    remote: RemoteSide | None = None
    virtio: Virtio | None = None
    #: The part of the shared memory for the remote's device tree, as physical addresses.
    remote_dt: Region | None = None
    remoteproc: Remoteproc | None = None
    #: None if the profile does not say who may use the link.
    access: Access | None = None
    #: The number of vectors of a simulated link, which has no transport; 0 for a real link.
    sim: int = 0
    #: The nodes of the base tree whose devices the remote's program uses, so Linux must not.
    remote_devices: tuple[NodeRef, ...] = ()
    #: What the link has instead of a transport, if it is one to another virtual machine. The
    #: addresses of its memory count from the first byte of that.
    ivshmem: Ivshmem | None = None

    @property
    def by(self) -> Transport:
        """The transport that the link uses."""
        return self.offers[self.transport]

    def regions(self) -> list[tuple[str, Region]]:
        """Return the memory regions of the link with their names.

        "memory" and "firmware" are keys of the profile; "region0", "region1" and so on, and
        "dma_pool", are of its table remoteproc.
        """
        found = [("memory", self.memory)]
        if self.firmware:
            found.append(("firmware", self.firmware))
        if self.remoteproc:
            found += [(f"region{n}", each) for n, each in enumerate(self.remoteproc.regions)]
            if self.remoteproc.dma_pool:
                found.append(("dma_pool", self.remoteproc.dma_pool))
        return found

    @property
    def core(self) -> str:
        """The remote's core, a key of :data:`cores.CORES`; "" if it is not known."""
        return self.remote.core if self.remote else ""

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The memory that the remote reaches."""
        if self.remote and self.remote.ranges:
            return self.remote.ranges
        if self.sim or self.ivshmem:
            return BITS_64
        return CORES[self.core].ranges if self.core else BITS_32

    def seen(self, region: Region) -> Region:
        """Return where the remote finds a region of the link.

        Raises:
            ValueError: it does not reach the region, which the reader of profiles refuses.
        """
        found = seen(self.ranges, region)
        if found is None:
            raise ValueError(f"{region} is not in {self.ranges}")
        return found

    @property
    def vectors(self) -> int:
        """The number of vectors in each direction."""
        if self.sim:
            return self.sim
        if self.ivshmem:
            return self.ivshmem.vectors
        by = self.by
        if isinstance(by, Doorbell):
            return len(by.kick_values)
        return by.payload_vectors or (len(by.tx) if isinstance(by, Channels) else 1)


@dataclass(frozen=True)
class Board:
    """A board as its profile describes it."""

    name: str
    description: str
    #: Entries of "compatible" of the root node; the machine has to have at least one of them.
    #: None for links to other virtual machines, which no device tree describes.
    compatible: tuple[str, ...]
    links: tuple[Link, ...]
    #: The nodes of the base tree that the overlay disables, and those that it enables.
    disable: tuple[NodeRef, ...] = ()
    enable: tuple[NodeRef, ...] = ()
    #: #address-cells and #size-cells at the root of the base tree.
    cells: tuple[int, int] = (2, 2)
    #: The interrupt controller, if the root of the base tree has no interrupt-parent.
    interrupt_parent: NodeRef | None = None
    #: #interrupt-cells of the interrupt controller.
    interrupt_cells: int = 3

    @property
    def has_tree(self) -> bool:
        """Whether a device tree describes the links."""
        return not any(link.ivshmem for link in self.links)

    def too_large(self, address: int, size: int) -> list[str]:
        """Return a message for each address or size that does not fit into this many cells.

        *address* is #address-cells, *size* is #size-cells.
        """
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
        """Return the link called *name*; None means the only link of the board.

        Raises:
            RslError: the board has no such link, or *name* is None and it has several links.
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
    """Two links of a board use the same resource; *at* is the index of the later link."""

    at: int
    #: The key in the link's table that is wrong, and the name of the check.
    key: str
    check: str
    text: str


def clashes(links: tuple[Link, ...]) -> list[Clash]:
    """Return the resources that two links of a board use both."""
    found = []
    for at, link in enumerate(links):
        for other in links[:at] if not link.ivshmem else ():
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
        devices = [other.ivshmem.device for other in links[:at] if other.ivshmem]
        if link.ivshmem and link.ivshmem.device in devices:
            found.append(Clash(at, "ivshmem", "device", "is the device of another link, too"))
        agents = [each.agent for each in map(_ipi, links) if each]
        ipi = _ipi(link)
        if ipi and ipi.remote in agents:
            found.append(
                Clash(at, "mailbox", "agent", f"remote {ipi.remote} is an agent of Linux's")
            )
    return sorted(found, key=lambda clash: (clash.at, clash.check, clash.key, clash.text))


def _ipi(link: Link) -> Ipi | None:
    """The IPI agents of a link; None if it does not offer that mailbox."""
    mailbox = link.offers.get("mailbox")
    return mailbox if isinstance(mailbox, Ipi) else None


def _wants(by: Transport) -> set[tuple[str, ...]]:
    """The resources that a transport cannot share: the name of the check, then message words."""
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
