# SPDX-License-Identifier: BSD-3-Clause
"""The reader of board profiles: find a profile by name or file, and parse its TOML.

docs/reference/board-profile.md describes the format.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rslctl.errors import RslError, os_error
from rslctl.linux import bus, given_file, ivshmem
from rslctl.linux.host import Host
from rslctl.linux.uapi import LABEL_SIZE, MAX_VECTORS
from rslctl.profile import transports, virtio
from rslctl.profile.cores import CORES, seen, spans
from rslctl.profile.model import (
    IVSHMEM,
    MODES,
    SIM,
    STARTS,
    TRANSPORTS,
    Access,
    Board,
    Ipi,
    Ivshmem,
    Link,
    NodeRef,
    Remoteproc,
    Virtio,
    clashes,
)
from rslctl.profile.toml import Document, Table, overlay, read, shown
from rslctl.profile.transports import node_ref
from rslctl.region import Region

#: The smallest page size in bytes. Linux maps the shared memory in pages; on arm64 a page has 4,
#: 16 or 64 KiB.
PAGE_SIZE = 4096

#: The name of a firmware file; it may contain directories.
FIRMWARE = re.compile(r"(?!/|.*\.\.)[A-Za-z0-9._+@/-]*")

_BUILT_IN = Path(__file__).parent / "boards"
#: The directory of the machine's own profiles.
_LOCAL = "/etc/rslctl/boards"
#: The machine that this process runs on.
_THIS = Host()
#: A link's name is also part of device tree labels.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def built_in() -> list[str]:
    """Return the names of the profiles that come with rslctl, sorted."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


@dataclass(frozen=True)
class File:
    """The file of a profile: one of *host*'s own, or one that this process names."""

    path: Path
    host: Host | None = None

    def __str__(self) -> str:
        return self.host.where(str(self.path)) if self.host else str(self.path)

    def read(self) -> bytes:
        return self.host.read(str(self.path)) if self.host else given_file.read(self.path)

    def beside(self, name: str) -> File:
        return File(self.path.parent / name, self.host)

    def real(self) -> str:
        """The path without symbolic links, by which two names of one file are told."""
        if self.host and not self.host.live:
            return self.host.where(self.host.real(str(self.path)))
        return os.path.realpath(self.path)


def known(host: Host = _THIS) -> dict[str, File]:
    """Return the file of each profile name; the machine's own profile replaces a built-in one.

    Raises:
        RslError: the directory of the machine's own profiles cannot be read.
    """
    files = {path.stem: File(path) for path in _BUILT_IN.glob("*.toml")}
    own = [Path(_LOCAL, name) for name in host.names(_LOCAL) if name.endswith(".toml")]
    files |= {path.stem: File(path, host) for path in own}
    return dict(sorted(files.items()))


def load(name: str, host: Host = _THIS) -> Board:
    """Read the profile *name*, or the file *name* if that ends in ``.toml``.

    *host* is the machine that has its own profiles; a file is looked for by this process.

    Raises:
        RslError: the profile does not exist, cannot be read or is not valid.
    """
    file = File(Path(name)) if name.endswith(".toml") else _find(name, host)
    if not file.path.stem.isprintable():
        raise RslError(f"{str(file)!a}: the name of a profile has to be printable")
    return parse(_document(file, host, ()), file.path.stem)


def from_text(text: str, source: str, name: str) -> Board:
    """Read a profile that is not a file and extends none; messages call it *source*.

    Raises:
        RslError: the profile is not valid.
    """
    return parse(read(text, source), name)


def _find(name: str, host: Host) -> File:
    profiles = known(host)
    if name in profiles:
        return profiles[name]
    close = " or ".join(map(repr, difflib.get_close_matches(name, profiles, 2)))
    raise RslError(
        f"unknown board {name!r}",
        hint=(f"did you mean {close}? " if close else "")
        + f"known boards: {', '.join(profiles)}; a profile of your own is named by its .toml file",
    )


def _document(file: File, host: Host, seen: tuple[str, ...]) -> Document:
    """Read a profile and lay it over the profile that it extends.

    *seen* are the paths of the profiles that extend this one.
    """
    try:
        text = file.read().decode()
    except UnicodeDecodeError as error:
        raise RslError(f"{file}:1: is not UTF-8 text") from error
    except OSError as error:
        raise os_error(f"read board profile '{file}'", error) from error
    document = read(text, str(file))
    if "extends" not in document.values:
        return document
    table = Table(document, (), document.values)
    name = table.text("extends")
    try:
        below = file.beside(name) if name.endswith(".toml") else _find(name, host)
    except RslError as error:
        raise table.error("extends", f"{error} ({error.hint})") from error
    seen = (*seen, file.real())
    # The machine's own profile may extend the built-in profile of the same name.
    if below.real() == seen[-1] and name in built_in():
        below = File(_BUILT_IN / f"{name}.toml")
    if below.real() in seen:
        raise table.error("extends", f"{name!r} extends this profile in turn")
    del document.values["extends"]
    return overlay(_document(below, host, seen), document)


# Reading


def parse(document: Document, name: str) -> Board:
    """Make the board that *document* describes.

    Raises:
        RslError: the document is not a valid profile. The message names file, line and key, and
            says what would be right.
    """
    top = Table(document, (), document.values)
    tables = document.values.get("link")
    described = (
        not any(isinstance(each, dict) and "ivshmem" in each for each in tables)
        if isinstance(tables, list)
        else True
    )
    board = _with_tree(top, name) if described else _without_tree(top, name)
    top.done()
    return board


def _without_tree(top: Table, name: str) -> Board:
    return Board(name, top.text("description"), compatible=(), links=_links(top))


def _with_tree(top: Table, name: str) -> Board:
    return Board(
        name=name,
        description=top.text("description"),
        compatible=tuple(top.texts("compatible")),
        disable=_nodes(top, "disable"),
        enable=_nodes(top, "enable"),
        cells=_cells(top),
        interrupt_parent=node_ref(top, "interrupt-parent", top.text("interrupt-parent"))
        if top.optional("interrupt-parent")
        else None,
        interrupt_cells=top.integer("interrupt-cells", 1, 4)
        if top.optional("interrupt-cells")
        else 3,
        links=_links(top),
    )


def _links(top: Table) -> tuple[Link, ...]:
    tables = top.tables("link")
    links = tuple(_link(table) for table in tables)
    names: set[str] = set()
    for table, link in zip(tables, links, strict=True):
        if link.name in names:
            raise table.error("name", f"{link.name!r} is given to more than one link")
        names.add(link.name)
        if bool(link.ivshmem) != bool(links[0].ivshmem):
            raise table.error("", "a board has links of ivshmem or others, not both")
    for clash in clashes(links):
        key = _key(clash.key)
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
    return tuple(node_ref(table, key, text) for text in texts)


def _link(table: Table) -> Link:
    name = table.text("name")
    if not _NAME.fullmatch(name) or len(name) >= LABEL_SIZE:
        raise table.error(
            "name", f"{shown(name)} is not 1 to {LABEL_SIZE - 1} of a-z, 0-9 and '_', as 'rpu0'"
        )
    if table.optional("ivshmem"):
        return _ivshmem_link(table, name)
    memory = _region(table.table("memory"))
    firmware = _region(table.table("firmware")) if table.optional("firmware") else None
    sim = _sim(table.table("sim")) if table.optional("sim") else 0
    offers, remote = ({}, None) if sim else transports.read(table)
    names = list(offers) or [SIM]
    transport = table.choice("transport", names) if table.optional("transport") else names[0]
    room = _remote_dt(table.table("remote-dt"), memory) if table.optional("remote-dt") else None
    made = _virtio(table, memory, room) if table.optional("virtio") else None
    boots = _remoteproc(table.table("remoteproc")) if table.optional("remoteproc") else None
    access = _access(table.table("access")) if table.optional("access") else None
    devices = _nodes(table, "remote-devices")
    table.done()
    link = Link(
        name, memory, firmware, offers, transport, remote, made, room, boots, access, sim, devices
    )
    _check_remote(table, link)
    _check_regions(table, link)
    return link


def _ivshmem_link(table: Table, name: str) -> Link:
    """Read a link to another virtual machine; *name* is its name."""
    made, size = _ivshmem(table.table("ivshmem"))
    memory = Region(0, size - ivshmem.TABLE_SIZE)
    room = _remote_dt(table.table("remote-dt"), memory) if table.optional("remote-dt") else None
    devices = _virtio(table, memory, room) if table.optional("virtio") else None
    access = _access(table.table("access")) if table.optional("access") else None
    table.done()
    return Link(name, memory, None, {}, IVSHMEM, None, devices, room, access=access, ivshmem=made)


def _ivshmem(table: Table) -> tuple[Ivshmem, int]:
    """Read the table of an ivshmem device: the device, and the size of its memory in bytes."""
    address = table.text("address") if table.optional("address") else ""
    numbered = table.optional("instance")
    instance = table.integer("instance", 0, 255) if numbered else 0
    made = Ivshmem(
        table.integer("vectors", 1, MAX_VECTORS),
        table.choice("role", list(ivshmem.ROLES)),
        address,
        instance,
    )
    size = table.integer("size", 2 * ivshmem.TABLE_SIZE, 2**62)
    if address and not bus.is_pci(address):
        raise table.error("address", f"{shown(address)} is no PCI address, as '0000:00:04.0'")
    if address and numbered:
        raise table.error("instance", "goes without address: either tells the device")
    if size & (size - 1):
        raise table.error("size", f"{size:#x} is not a power of two, as a PCI device's memory is")
    table.done()
    return made, size


def _key(name: str) -> str:
    """The key in the link's table that a region of :meth:`Link.regions` is of."""
    return "remoteproc" if name.startswith("region") or name == "dma_pool" else name


def _check_regions(table: Table, link: Link) -> None:
    """Check the link's regions against each other, and against what the remote reaches."""
    regions = link.regions()
    for at, (name, region) in enumerate(regions):
        text = f"{region.base:#x}, {region.size:#x} bytes,"
        for other, taken in regions[:at]:
            if region.overlaps(taken):
                raise table.error(
                    _key(name),
                    f"{text} overlaps {other} at {taken.base:#x}, {taken.size:#x} bytes",
                )
        if seen(link.ranges, region) is None:
            what = f"core {link.core!r}" if link.core else "a remote with 32-bit addresses"
            more = "remote.ranges lists" if link.remote and link.remote.ranges else f"{what} has"
            raise table.error(
                _key(name),
                f"{text} is outside what the remote reaches; {more} {spans(link.ranges)}; "
                "remote.core and remote.ranges say what it reaches",
            )
    loads = CORES[link.core].loads if link.core and link.remoteproc else None
    for name, region in regions if loads is not None else ():
        if name != "memory" and not any(each.contains(region) for each in loads or ()):
            where = ", ".join(f"{each.base:#x} to {each.end:#x}" for each in loads or ())
            raise table.error(
                _key(name),
                f"{region.base:#x}, {region.size:#x} bytes, is where Linux cannot load a program "
                f"of core {link.core!r}; it can to {where}",
            )


def _check_remote(table: Table, link: Link) -> None:
    """Check that the remote's side has one value per vector, or one for all vectors."""
    for key, values in (
        ("notify-values", link.remote.notify_values if link.remote else ()),
        ("interrupts", link.remote.interrupts if link.remote else ()),
    ):
        if len(values) not in (0, 1, link.vectors):
            raise table.error(
                "remote", f"{key} has {len(values)} values, the link has {link.vectors} vectors"
            )


def _region(table: Table) -> Region:
    region = Region(table.integer("base", 0, 2**64 - 1), table.integer("size", 1, 2**64 - 1))
    table.done()
    for key, value in (("base", region.base), ("size", region.size)):
        if value % PAGE_SIZE:
            raise table.error(key, f"{value:#x} is not a multiple of {PAGE_SIZE:#x}")
    if region.end > 2**64:
        raise table.error("size", f"{region.size:#x} goes past the last 64-bit address")
    return region


def _remoteproc(table: Table) -> Remoteproc:
    node = node_ref(table, "node", table.text("node"))
    firmware = table.text("firmware") if table.optional("firmware") else ""
    start = table.choice("start", list(STARTS)) if table.optional("start") else STARTS[0]
    mode = table.choice("mode", list(MODES)) if table.optional("mode") else ""
    regions = table.tables("regions") if table.optional("regions") else []
    pool = _region(table.table("dma-pool")) if table.optional("dma-pool") else None
    listed = _nodes(table, "memory-region")
    table.done()
    if not FIRMWARE.fullmatch(firmware):
        raise table.error(
            "firmware", f"{shown(firmware)} is not the name of a file below /lib/firmware"
        )
    return Remoteproc(node, firmware, start, mode, tuple(map(_region, regions)), pool, listed)


def _access(table: Table) -> Access:
    made = Access(
        *(tuple(table.texts(key)) if table.optional(key) else () for key in ("users", "groups"))
    )
    table.done()
    return made


def _sim(table: Table) -> int:
    vectors = table.integer("vectors", 1, MAX_VECTORS)
    table.done()
    return vectors


def _virtio(link: Table, memory: Region, room: Region | None) -> Virtio:
    table = link.table("virtio")
    devices = tuple(table.texts("devices"))
    tree = table.flag("device-tree")
    version = table.integer("version", 1, 2) if table.optional("version") else 1
    table.done()
    if tree and version == 2:
        raise table.error("device-tree", "true is for version 1; version 2 has no device tree")
    for word in devices:
        try:
            virtio.parse(word)
        except ValueError as error:
            raise table.error("devices", str(error)) from error
    made = Virtio(devices, tree, version)
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
