# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: found by name or file, read from TOML.

The format is described in docs/board-profile.md.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from rslctl import virtio, zynqmp
from rslctl.board import (
    STARTS,
    TRANSPORTS,
    TRIGGERS,
    Board,
    Channels,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    Mailbox,
    Region,
    Remoteproc,
    RemoteSide,
    Transport,
    Virtio,
    clashes,
)
from rslctl.devicetree import NodeRef
from rslctl.errors import RslError, os_error
from rslctl.tables import Document, Table, overlay, read, shown
from rslctl.uapi import LABEL_SIZE, MAX_VECTORS

#: Linux maps the shared memory in pages; arm64 boards may run 4, 16 or 64 KiB ones.
PAGE_SIZE = 4096

#: The first shared peripheral interrupt of a GIC has INTID 32, the last 1019
#: (Arm IHI 0048 2.2.1).
SPI_MAX = 1019 - 32

#: The name of a firmware file; may have directories.
FIRMWARE = re.compile(r"(?!/|.*\.\.)[A-Za-z0-9._+@/-]*")

_BUILT_IN = Path(__file__).parent / "boards"
#: The machine's own profiles.
_LOCAL = "etc/rslctl/boards"
#: A link's name is also part of device tree labels.
_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: A label as dtc takes it, a path of nodes.
_NODE = re.compile(r"&[A-Za-z_][A-Za-z0-9_]*|/|(?:/[A-Za-z0-9,._+@-]+)+")


def built_in() -> list[str]:
    """The names of the profiles that come with rslctl, sorted."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


def known(root: Path = Path("/")) -> dict[str, Path]:
    """The profiles that have a name, those of the machine before those that come with rslctl."""
    paths = [*_BUILT_IN.glob("*.toml"), *(root / _LOCAL).glob("*.toml")]
    return {path.stem: path for path in sorted(paths, key=lambda path: path.stem)}


def load(name: str, root: Path = Path("/")) -> Board:
    """Read the profile *name*, or the file *name* where that ends in ``.toml``.

    Raises:
        RslError: it does not exist, cannot be read or is not a profile.
    """
    path = Path(name) if name.endswith(".toml") else _find(name, root)
    if not path.stem.isprintable():
        raise RslError(f"{str(path)!a}: the name of a profile has to be printable")
    return parse(_document(path, root, ()), path.stem)


def _find(name: str, root: Path) -> Path:
    profiles = known(root)
    if name in profiles:
        return profiles[name]
    close = difflib.get_close_matches(name, profiles, 1)
    raise RslError(
        f"unknown board {name!r}",
        hint=(f"did you mean {close[0]!r}? " if close else "")
        + f"known boards: {', '.join(profiles)}; a profile of your own is named by its .toml file",
    )


def _document(path: Path, root: Path, seen: tuple[str, ...]) -> Document:
    """A profile's text over that of the profile that it extends."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise RslError(f"{path}:1: is not UTF-8 text") from error
    except OSError as error:
        raise os_error(f"read board profile '{path}'", error) from error
    document = read(text, str(path))
    if "extends" not in document.values:
        return document
    table = Table(document, (), document.values)
    name = table.text("extends")
    try:
        below = path.parent / name if name.endswith(".toml") else _find(name, root)
    except RslError as error:
        raise table.error("extends", f"{error} ({error.hint})") from error
    seen = (*seen, os.path.realpath(path))
    # A machine's own profile may extend the one that it goes before.
    if os.path.realpath(below) == seen[-1] and name in built_in():
        below = _BUILT_IN / f"{name}.toml"
    if os.path.realpath(below) in seen:
        raise table.error("extends", f"{name!r} extends this profile in turn")
    del document.values["extends"]
    return overlay(_document(below, root, seen), document)


# Reading


def parse(document: Document, name: str) -> Board:
    """The board that *document* describes.

    Raises:
        RslError: it is not a profile; the message names file, line, key and what would be right.
    """
    top = Table(document, (), document.values)
    board = Board(
        name=name,
        description=top.text("description"),
        compatible=tuple(top.texts("compatible")),
        disable=_nodes(top, "disable"),
        enable=_nodes(top, "enable"),
        cells=_cells(top),
        interrupt_parent=_node_ref(top, "interrupt-parent", top.text("interrupt-parent"))
        if top.optional("interrupt-parent")
        else None,
        links=_links(top),
    )
    top.done()
    return board


def _links(top: Table) -> tuple[Link, ...]:
    tables = top.tables("link")
    links = tuple(_link(table) for table in tables)
    names: set[str] = set()
    for table, link in zip(tables, links, strict=True):
        if link.name in names:
            raise table.error("name", f"{link.name!r} is given to more than one link")
        names.add(link.name)
    for clash in clashes(links):
        key = clash.key
        if isinstance(links[clash.at].offers.get("mailbox"), Ipi) and key in TRANSPORTS:
            key = "zynqmp-ipi"
        hint = "; each link needs an agent of its own" if clash.check == "agent" else ""
        raise tables[clash.at].error(key, f"{clash.text}{hint}")
    return links


def _cells(top: Table) -> tuple[int, int]:
    values = top.integers("cells", 1, 2) if top.optional("cells") else [2, 2]
    if len(values) != 2:
        raise top.error("cells", f"{values} is not two numbers, of addresses and of sizes")
    return values[0], values[1]


def _nodes(table: Table, key: str) -> tuple[NodeRef, ...]:
    texts = table.texts(key) if table.optional(key) else []
    return tuple(_node_ref(table, key, text) for text in texts)


def _node_ref(table: Table, key: str, text: str) -> NodeRef:
    words = text.split()
    labels = [word[1:] for word in words if word.startswith("&")]
    if not words or len(labels) > 1 or not all(_NODE.fullmatch(word) for word in words):
        raise table.error(
            key,
            f"{shown(text)} is not a node's label, path or both, as '&mu /soc@0/mailbox@30aa0000'",
        )
    return NodeRef("".join(labels), tuple(word for word in words if word.startswith("/")))


def _link(table: Table) -> Link:
    name = table.text("name")
    if not _NAME.fullmatch(name) or len(name) >= LABEL_SIZE:
        raise table.error(
            "name", f"{shown(name)} is not 1 to {LABEL_SIZE - 1} of a-z, 0-9 and '_', as 'rpu0'"
        )
    memory = _region(table.table("memory"))
    firmware = _region(table.table("firmware")) if table.optional("firmware") else None
    if firmware and firmware.overlaps(memory):
        raise table.error(
            "firmware",
            f"{firmware.base:#x}, {firmware.size:#x} bytes, overlaps memory at "
            f"{memory.base:#x}, {memory.size:#x} bytes",
        )
    offers, remote = _transports(table)
    names = list(offers)
    transport = table.choice("transport", names) if table.optional("transport") else names[0]
    room = _remote_dt(table.table("remote-dt"), memory) if table.optional("remote-dt") else None
    made = _virtio(table, memory, room) if table.optional("virtio") else None
    boots = _remoteproc(table.table("remoteproc")) if table.optional("remoteproc") else None
    table.done()
    link = Link(name, memory, firmware, offers, transport, remote, made, room, boots)
    _check_remote(table, link)
    return link


def _check_remote(table: Table, link: Link) -> None:
    """The remote's side has an entry per vector, or one for all."""
    for key, values in (
        ("notify-values", link.remote.notify_values if link.remote else ()),
        ("interrupts", link.remote.interrupts if link.remote else ()),
    ):
        if len(values) not in (0, 1, link.vectors):
            raise table.error(
                "remote", f"{key} has {len(values)} values, the link has {link.vectors} vectors"
            )


def _transports(table: Table) -> tuple[dict[str, Transport], RemoteSide | None]:
    """What a link offers, and the remote's side of it."""
    offers: dict[str, Transport] = {}
    remote = None
    if table.optional("zynqmp-ipi"):
        ipi = _ipi(table.table("zynqmp-ipi"))
        doorbell, remote = _ipi_doorbell(ipi)
        offers = {"mailbox": ipi, "doorbell": doorbell}
    if table.optional("mailbox"):
        offers["mailbox"], remote = _mailbox(table.table("mailbox")), None
    if table.optional("doorbell"):
        offers["doorbell"], remote = _doorbell(table.table("doorbell")), None
    if not offers:
        raise table.error(
            "", "has no way to notify: expected a table mailbox, doorbell or zynqmp-ipi"
        )
    if table.optional("remote"):
        remote = _remote(table.table("remote"))
    return offers, remote


def _region(table: Table) -> Region:
    region = Region(table.integer("base", 0, 2**64 - 1), table.integer("size", 1, 2**64 - 1))
    table.done()
    for key, value in (("base", region.base), ("size", region.size)):
        if value % PAGE_SIZE:
            raise table.error(key, f"{value:#x} is not a multiple of {PAGE_SIZE:#x}")
    if region.end > 2**64:
        raise table.error("size", f"{region.size:#x} goes past the last 64-bit address")
    return region


def _payload_vectors(table: Table) -> int:
    return table.integer("vectors", 1, MAX_VECTORS) if table.optional("vectors") else 0


def _mailbox(table: Table) -> Mailbox:
    controller = _node_ref(table, "controller", table.text("controller"))
    made: Mailbox
    if table.optional("fifos"):
        fifos = table.integers("fifos", 0, 15)
        if len(fifos) != 2 or fifos[0] == fifos[1]:
            raise table.error("fifos", f"{fifos} is not two FIFOs, to kick and to be notified by")
        user = table.integer("user", 0, 3) if table.optional("user") else 0
        made = Fifos(controller, fifos[0], fifos[1], user, _payload_vectors(table))
    elif table.optional("rx-tx"):
        channels = tuple(table.rows("rx-tx", 0, 2**32 - 1))
        made = Channels(controller, channels, channels, _payload_vectors(table))
    else:
        tx, rx = (tuple(table.rows(key, 0, 2**32 - 1)) for key in ("tx", "rx"))
        made = Channels(controller, tx, rx, _payload_vectors(table))
    table.done()
    if isinstance(made, Channels):
        _check_channels(table, made)
    return made


def _check_channels(table: Table, made: Channels) -> None:
    key = "rx-tx" if made.tx == made.rx else "tx"
    if not 1 <= len(made.tx) <= MAX_VECTORS:
        raise table.error(key, f"has {len(made.tx)} channels, expected 1 to {MAX_VECTORS}")
    if len(made.tx) != len(made.rx):
        raise table.error("rx", f"has {len(made.rx)} channels, but tx has {len(made.tx)}")
    used = [*made.tx, *([] if made.tx == made.rx else made.rx)]
    if len(set(used)) != len(used):
        raise table.error(key, "has a channel twice")
    if made.payload_vectors and len(made.tx) > 1:
        raise table.error("vectors", "is for one channel that carries several; here are more")


def _ipi(table: Table) -> Ipi:
    agent = table.integer("agent", 0, max(zynqmp.AGENTS))
    remote = table.integer("remote", 0, max(zynqmp.AGENTS))
    vectors = _payload_vectors(table)
    table.done()
    for key, value, agents in (
        ("agent", agent, zynqmp.LOCAL),
        ("remote", remote, zynqmp.REMOTE),
    ):
        if value not in agents:
            expected = ", ".join(f"{each} ({zynqmp.AGENTS[each].name})" for each in agents)
            raise table.error(key, f"{value} is not one of {expected}")
    if agent == remote:
        raise table.error("remote", f"{remote} is Linux's own agent")
    return Ipi(agent, remote, vectors)


def _ipi_doorbell(ipi: Ipi) -> tuple[Doorbell, RemoteSide]:
    """The IPI block driven directly: one bit, so one vector."""
    ours, theirs = zynqmp.AGENTS[ipi.agent], zynqmp.AGENTS[ipi.remote]
    doorbell = Doorbell(
        register=ours.registers,
        kick_values=(theirs.bit,),
        spis=(ours.spi,),
        trigger="level-high",
        size=zynqmp.SIZE,
        offsets=(
            ("status", zynqmp.ISR),
            ("clear", zynqmp.ISR),
            ("enable", zynqmp.IER),
            ("disable", zynqmp.IDR),
        ),
        status_masks=(theirs.bit,),
    )
    return doorbell, RemoteSide(theirs.registers + zynqmp.TRIG, (ours.bit,), (theirs.spi + 32,))


def _doorbell(table: Table) -> Doorbell:
    doorbell = Doorbell(
        register=table.integer("register", 0, 2**64 - 4),
        kick_values=tuple(table.integers("kick-values", 0, 2**32 - 1)),
        spis=tuple(table.integers("spis", 0, SPI_MAX)),
        trigger=table.choice("trigger", list(TRIGGERS)),
        size=table.integer("size", 4, 2**32) if table.optional("size") else 4,
        offsets=tuple(
            (name, table.integer(f"{name}-offset", 0, 2**32 - 4))
            for name in ("kick", "status", "clear", "enable", "disable")
            if table.optional(f"{name}-offset")
        ),
        status_masks=tuple(table.integers("status-masks", 1, 2**32 - 1))
        if table.optional("status-masks")
        else (),
    )
    table.done()
    _check_doorbell(table, doorbell)
    return doorbell


def _check_doorbell(table: Table, doorbell: Doorbell) -> None:
    vectors = len(doorbell.kick_values)
    offsets = dict(doorbell.offsets)
    if doorbell.register % 4:
        raise table.error("register", f"{doorbell.register:#x} is not a multiple of 4")
    if not 1 <= vectors <= MAX_VECTORS:
        raise table.error("kick-values", f"has {vectors} values, expected 1 to {MAX_VECTORS}")
    for name, offset in offsets.items():
        if offset % 4 or offset > doorbell.size - 4:
            raise table.error(
                f"{name}-offset", f"{offset:#x} is not a 32-bit register in {doorbell.size} bytes"
            )
    if offsets.keys() - {"kick", "status"} and "status" not in offsets:
        raise table.error("status-offset", "is missing, which the other registers need")
    if len(doorbell.status_masks) != (vectors if "status" in offsets else 0):
        raise table.error(
            "status-masks",
            f"has {len(doorbell.status_masks)} masks, expected one per vector beside status-offset",
        )
    if len(doorbell.spis) != vectors and not (len(doorbell.spis) == 1 and "status" in offsets):
        raise table.error(
            "spis",
            f"has {len(doorbell.spis)} interrupts, but kick-values has {vectors} vectors: "
            "one each, or one for all and status-offset",
        )
    if len(set(doorbell.spis)) != len(doorbell.spis):
        raise table.error("spis", "has an interrupt twice: each vector needs its own")


def _remote(table: Table) -> RemoteSide:
    def integers(key: str) -> tuple[int, ...]:
        return tuple(table.integers(key, 0, 2**32 - 1)) if table.optional(key) else ()

    register = table.integer("register", 0, 2**64 - 4) if table.optional("register") else None
    made = RemoteSide(register, integers("notify-values"), integers("interrupts"))
    table.done()
    if (register is None) != (not made.notify_values):
        raise table.error("notify-values", "goes with register, and register with it")
    return made


def _remoteproc(table: Table) -> Remoteproc:
    node = _node_ref(table, "node", table.text("node"))
    firmware = table.text("firmware") if table.optional("firmware") else ""
    start = table.choice("start", list(STARTS)) if table.optional("start") else STARTS[0]
    table.done()
    if not FIRMWARE.fullmatch(firmware):
        raise table.error(
            "firmware", f"{shown(firmware)} is not the name of a file below /lib/firmware"
        )
    return Remoteproc(node, firmware, start)


def _virtio(link: Table, memory: Region, room: Region | None) -> Virtio:
    table = link.table("virtio")
    devices = tuple(table.texts("devices"))
    made = Virtio(devices, table.flag("device-tree"))
    table.done()
    for name in devices:
        if name not in virtio.KINDS:
            close = difflib.get_close_matches(name, virtio.KINDS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            expected = ", ".join(repr(kind) for kind in virtio.KINDS)
            raise table.error("devices", f"{shown(name)} is not one of {expected}{hint}")
    offset = room.base - memory.base if room else None
    misfit = virtio.misfit(devices, device_tree=made.device_tree, size=memory.size, room=offset)
    if misfit:
        raise table.error("devices", misfit)
    return made


def _remote_dt(table: Table, memory: Region) -> Region:
    offset = table.integer("offset", 0, memory.size - 1)
    size = table.integer("size", 64, memory.size)
    table.done()
    if offset % 8:
        raise table.error("offset", f"{offset:#x} is not a multiple of 8")
    room = Region(memory.base + offset, size)
    if not memory.contains(room):
        raise table.error("size", f"{size:#x} at {offset:#x} goes past the shared memory")
    return room
