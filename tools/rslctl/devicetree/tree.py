# SPDX-License-Identifier: BSD-3-Clause
"""The data model of a whole device tree: read it, and interpret its standard properties.

A tree is read from a blob or from the running machine. The meaning of the properties is that of
Devicetree Specification v0.4, chapter 2.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from rslctl.devicetree import blob
from rslctl.errors import os_error
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile.model import NodeRef
from rslctl.region import Region

_SYMBOLS = "/__symbols__"
#: The smallest page size, in bytes.
_PAGE = 4096


@dataclass(frozen=True)
class Interrupt:
    """An interrupt of a node: the path of its controller, and the cells of its specifier."""

    controller: str
    cells: tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """A device tree; *source* is its name in messages."""

    source: str
    #: The properties of each node, as bytes, by the path of the node.
    nodes: dict[str, dict[str, bytes]]
    #: The regions in the memory reservation block of a blob.
    reserved: tuple[Region, ...] = field(default=())
    #: The release of the kernel that the tree is for, as "6.12.5-arm64"; "" if nothing says it.
    kernel: str = ""

    def __contains__(self, path: str) -> bool:
        return path in self.nodes

    def cells(self, path: str, key: str) -> tuple[int, ...]:
        """Return a property as cells; empty if the node or the property does not exist."""
        data = self.nodes.get(path, {}).get(key, b"")
        return struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4])

    def texts(self, path: str, key: str) -> list[str]:
        """Return a property as strings; empty if the node or the property does not exist."""
        data = self.nodes.get(path, {}).get(key, b"")
        return [text.decode(errors="replace") for text in data.split(b"\0")[:-1]]

    def cell(self, path: str, key: str, default: int) -> int:
        """Return the first cell of a property; *default* if it does not exist."""
        values = self.cells(path, key)
        return values[0] if values else default

    @cached_property
    def labels(self) -> dict[str, str]:
        """The paths of labelled nodes, by label; empty if the tree has no __symbols__."""
        symbols = self.nodes.get(_SYMBOLS, {})
        return {label: "".join(self.texts(_SYMBOLS, label)[:1]) for label in symbols}

    @cached_property
    def phandles(self) -> dict[int, str]:
        """The paths of the nodes that have a phandle, by phandle."""
        return {
            value: path
            for path in self.nodes
            for key in ("linux,phandle", "phandle")
            for value in self.cells(path, key)[:1]
        }

    def phandle(self, path: str) -> int:
        """Return the phandle of a node; 0 if it has none."""
        return self.cell(path, "phandle", self.cell(path, "linux,phandle", 0))

    def children(self, path: str) -> list[str]:
        """Return the paths of the sub-nodes of a node, in their order."""
        return self._children.get(path, [])

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.nodes:
            found.setdefault(parent(path), []).append(path)
        return found

    def find(self, node: NodeRef) -> str | None:
        """Return the path of *node*; None if this tree does not have it."""
        labelled = self.labels.get(node.label)
        candidates = [labelled] * bool(labelled) + list(node.paths)
        return next((path for path in candidates if path in self.nodes), None)

    def enabled(self, path: str) -> bool:
        """Return whether the status of the node and of all nodes above it is "okay" or missing."""
        while path:
            if self.texts(path, "status")[:1] not in ([], ["okay"], ["ok"]):
                return False
            path = parent(path)
        return True

    def idle(self, path: str) -> bool:
        """Return whether the node or a node above it is "disabled": its resources are free.

        They are not if it has a secure-status, by which the secure world uses it
        (Documentation/devicetree/bindings/arm/secure.txt of Linux).
        """
        secure = self.texts(path, "secure-status")[:1] not in ([], ["disabled"])
        while path and not secure:
            if self.texts(path, "status")[:1] == ["disabled"]:
                return True
            path = parent(path)
        return False

    def with_status(self, status: dict[str, str]) -> Tree:
        """Return the tree with a new status of some nodes; *status* is by path."""
        nodes = dict(self.nodes)
        for path, text in status.items():
            nodes[path] = {**nodes.get(path, {}), "status": f"{text}\0".encode()}
        return dataclasses.replace(self, nodes=nodes)

    def number(self, path: str, key: str) -> int:
        """Return all cells of a property as one number; 0 if it does not exist."""
        return _number(self.cells(path, key))

    @property
    def initrd(self) -> Region | None:
        """Where the boot loader has put the initial RAM disk: linux,initrd-start and -end.

        The properties have one cell or two, whatever the root has (drivers/of/fdt.c).
        """
        chosen = self.nodes.get("/chosen", {})
        start, end = (
            int.from_bytes(chosen.get(f"linux,initrd-{name}", b""), "big")
            for name in ("start", "end")
        )
        return Region(start, end - start) if start < end else None

    def regions(self, path: str, key: str = "reg") -> list[Region]:
        """Return the regions in a node's property, as addresses of the processor.

        Empty if the processor cannot address the bus of the node.
        """
        return [Region(base, size) for base, size in self._rows(path, key) if size]

    def starts(self, path: str) -> list[int]:
        """Return the starts of the regions in a node's reg whose size is 0: unknown, or none."""
        return [base for base, size in self._rows(path, "reg") if not size]

    def _rows(self, path: str, key: str) -> Iterator[tuple[int, int]]:
        above = parent(path)
        address, size = self._bus(above)
        row = address + size
        values = self.cells(path, key)
        for at in range(0, len(values) - row + 1, row or 1):
            base = self._translate(above, _number(values[at : at + address]))
            if row and base is not None:
                yield base, _number(values[at + address : at + row])

    def _bus(self, path: str) -> tuple[int, int]:
        """#address-cells and #size-cells of a bus."""
        return self.cell(path, "#address-cells", 2), self.cell(path, "#size-cells", 1)

    def _translate(self, path: str, address: int) -> int | None:
        """Translate an address on the bus *path* for the processor; None if it cannot see it."""
        while path not in ("/", ""):
            properties = self.nodes.get(path, {})
            if "ranges" not in properties or self.texts(path, "device_type") == ["pci"]:
                return None
            if properties["ranges"]:
                mapped = self._through(path, address)
                if mapped is None:
                    return None
                address = mapped
            path = parent(path)
        return address

    def _through(self, path: str, address: int) -> int | None:
        """Translate an address by the ranges of one bus; None if no range has it."""
        own, size = self._bus(path)
        above = self._bus(parent(path))[0]
        values, row = self.cells(path, "ranges"), own + above + size
        for at in range(0, len(values) - row + 1, row or 1):
            child = _number(values[at : at + own])
            length = _number(values[at + own + above : at + row])
            if child <= address < child + length:
                return address - child + _number(values[at + own : at + own + above])
        return None

    def interrupts(self, path: str) -> list[Interrupt]:
        """Return the interrupts of a node: interrupts, interrupt-map and interrupts-extended."""
        found = [*self._interrupt_list(path), *self._interrupt_map(path)]
        values = self.cells(path, "interrupts-extended")
        while values:
            controller = self.phandles.get(values[0], "")
            width = self.cell(controller, "#interrupt-cells", 0)
            found.append(Interrupt(controller, values[1 : 1 + width]))
            values = values[1 + width :]
        return found

    def _interrupt_list(self, path: str) -> list[Interrupt]:
        values = self.cells(path, "interrupts")
        controller = self.interrupt_parent(path)
        width = self.cell(controller, "#interrupt-cells", 0)
        if not width:
            return []
        return [
            Interrupt(controller, values[at : at + width]) for at in range(0, len(values), width)
        ]

    def _interrupt_map(self, path: str) -> list[Interrupt]:
        """The interrupts to which a bus maps the interrupts of its devices."""
        values = self.cells(path, "interrupt-map")
        skip = self.cell(path, "#address-cells", 2) + self.cell(path, "#interrupt-cells", 1)
        found = []
        while len(values) > skip:
            controller = self.phandles.get(values[skip], "")
            unit = self.cell(controller, "#address-cells", 0)
            width = self.cell(controller, "#interrupt-cells", 0)
            start = skip + 1 + unit
            found.append(Interrupt(controller, values[start : start + width]))
            values = values[start + width :]
        return found

    def top_controller(self, path: str) -> str:
        """Return the last controller in the chain of interrupt parents from controller *path*."""
        seen = []
        while path and path not in seen:
            seen.append(path)
            above = self.interrupt_parent(path)
            path = above if above and above != path else ""
        return seen[-1] if seen else ""

    def interrupt_parent(self, path: str) -> str:
        """Return the path of the interrupt controller of a node; "" if none is specified."""
        while path:
            values = self.cells(path, "interrupt-parent")
            if values:
                return self.phandles.get(values[0], "")
            path = parent(path)
        return ""

    def specifiers(self, path: str, key: str, width_key: str) -> list[tuple[str, tuple[int, ...]]]:
        """Return the entries of a list of phandles with specifiers, for example "mboxes".

        An entry is the path of the node and the cells of the specifier. *width_key* is the
        property that has their number, for example "#mbox-cells".
        """
        values = self.cells(path, key)
        found = []
        while values:
            target = self.phandles.get(values[0], "")
            width = self.cell(target, width_key, 0)
            found.append((target, values[1 : 1 + width]))
            values = values[1 + width :]
        return found


def parent(path: str) -> str:
    """Return the path of the parent node; "" for the root."""
    return "" if path == "/" else path.rpartition("/")[0] or "/"


def _number(cells: tuple[int, ...]) -> int:
    """Join cells to a number, the upper cell first."""
    value = 0
    for cell in cells:
        value = value << 32 | cell
    return value


def from_blob(data: bytes, source: str, kernel: str = "") -> Tree:
    """Parse a device tree blob; *source* is its name in messages.

    *kernel* is the release of the kernel that it is for, if that is known.

    Raises:
        RslError: the data are not a device tree blob, or not a whole one.
    """
    read = blob.read(data, source)
    return Tree(source, read.nodes, read.reserved, kernel)


def from_machine(host: Host) -> Tree:
    """Read the running device tree of the machine; it has no nodes if the machine has no tree.

    Raises:
        RslError: the tree cannot be read.
    """
    nodes: dict[str, dict[str, bytes]] = {}
    try:
        for directory, files, fd in host.walk(DEVICE_TREE):
            path = directory[len(DEVICE_TREE) :] or "/"
            nodes[path] = {name: _property(name, fd) for name in files}
    except OSError as error:
        raise os_error(f"read the device tree in '{host.where(DEVICE_TREE)}'", error) from error
    kernel = os.uname().release if host.live else ""
    return Tree("the running device tree", nodes, kernel=kernel)


def _property(name: str, directory: int) -> bytes:
    """Read a property. A board has thousands, so this does no more than it has to."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        data = os.read(fd, _PAGE)
        while len(data) % _PAGE == 0 and (more := os.read(fd, _PAGE)):
            data += more  # sysfs gives no more than a page at once
        return data
    finally:
        os.close(fd)
