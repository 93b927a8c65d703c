# SPDX-License-Identifier: BSD-3-Clause
"""A whole device tree, of a file or of the running machine, and what its standard properties mean.

The meaning of properties: Devicetree Specification v0.4, chapter 2.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import fdt

from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile.model import NodeRef
from rslctl.region import Region

_SYMBOLS = "/__symbols__"


@dataclass(frozen=True)
class Interrupt:
    """An interrupt of a node: the path of its controller and the cells behind that."""

    controller: str
    cells: tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """The properties of all nodes by path, as bytes; *source* is its name in messages."""

    source: str
    nodes: dict[str, dict[str, bytes]]
    #: The memory reservation block of a blob.
    reserved: tuple[Region, ...] = field(default=())

    def __contains__(self, path: str) -> bool:
        return path in self.nodes

    def cells(self, path: str, key: str) -> tuple[int, ...]:
        """A property as cells; empty where there is no such one."""
        data = self.nodes.get(path, {}).get(key, b"")
        return struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4])

    def texts(self, path: str, key: str) -> list[str]:
        """A property as strings."""
        data = self.nodes.get(path, {}).get(key, b"")
        return [text.decode(errors="replace") for text in data.split(b"\0")[:-1]]

    def cell(self, path: str, key: str, default: int) -> int:
        values = self.cells(path, key)
        return values[0] if values else default

    @cached_property
    def labels(self) -> dict[str, str]:
        """The paths of labelled nodes; empty without symbols."""
        symbols = self.nodes.get(_SYMBOLS, {})
        return {label: "".join(self.texts(_SYMBOLS, label)[:1]) for label in symbols}

    @cached_property
    def phandles(self) -> dict[int, str]:
        """The nodes that have a phandle."""
        return {
            value: path
            for path in self.nodes
            for key in ("linux,phandle", "phandle")
            for value in self.cells(path, key)[:1]
        }

    def phandle(self, path: str) -> int:
        """The phandle of a node; 0 where it has none."""
        return self.cell(path, "phandle", self.cell(path, "linux,phandle", 0))

    def find(self, node: NodeRef) -> str | None:
        """The path of *node*, or None where it is not here."""
        labelled = self.labels.get(node.label)
        candidates = [labelled] * bool(labelled) + list(node.paths)
        return next((path for path in candidates if path in self.nodes), None)

    def enabled(self, path: str) -> bool:
        """Whether neither the node nor one above it is disabled."""
        while path:
            if self.texts(path, "status")[:1] not in ([], ["okay"], ["ok"]):
                return False
            path = parent(path)
        return True

    def idle(self, path: str) -> bool:
        """Whether the node or one above it is "disabled": nobody uses what it has."""
        while path:
            if self.texts(path, "status")[:1] == ["disabled"]:
                return True
            path = parent(path)
        return False

    def with_status(self, status: dict[str, str]) -> Tree:
        """The tree with another status of some nodes."""
        nodes = dict(self.nodes)
        for path, text in status.items():
            nodes[path] = {**nodes.get(path, {}), "status": f"{text}\0".encode()}
        return Tree(self.source, nodes, self.reserved)

    def regions(self, path: str) -> list[Region]:
        """What a node's reg means to the processor; empty where a bus has no such addresses."""
        above = parent(path)
        address, size = self._bus(above)
        row = address + size
        values = self.cells(path, "reg")
        found = []
        for at in range(0, len(values) - row + 1, row or 1):
            base = _number(values[at : at + address])
            translated = self._translate(above, base)
            length = _number(values[at + address : at + row])
            if row and length and translated is not None:
                found.append(Region(translated, length))
        return found

    def _bus(self, path: str) -> tuple[int, int]:
        return self.cell(path, "#address-cells", 2), self.cell(path, "#size-cells", 1)

    def _translate(self, path: str, address: int) -> int | None:
        """An address on the bus *path* as the processor sees it; None where it does not."""
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
        """The interrupts of a node, by any of the properties that say them."""
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
        """Those that a bus maps its devices' to."""
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
        """The controller that the controller *path* hands its interrupts on to in the end."""
        seen = []
        while path and path not in seen:
            seen.append(path)
            above = self.interrupt_parent(path)
            path = above if above and above != path else ""
        return seen[-1] if seen else ""

    def interrupt_parent(self, path: str) -> str:
        """The path of the controller of a node's interrupts, "" where none is said."""
        while path:
            values = self.cells(path, "interrupt-parent")
            if values:
                return self.phandles.get(values[0], "")
            path = parent(path)
        return ""

    def specifiers(self, path: str, key: str, width_key: str) -> list[tuple[str, tuple[int, ...]]]:
        """A list of phandles with the cells that belong to each, as "mboxes" is."""
        values = self.cells(path, key)
        found = []
        while values:
            target = self.phandles.get(values[0], "")
            width = self.cell(target, width_key, 0)
            found.append((target, values[1 : 1 + width]))
            values = values[1 + width :]
        return found


def parent(path: str) -> str:
    """The path of the node above; that of the root is ""."""
    return "" if path == "/" else path.rpartition("/")[0] or "/"


def _number(cells: tuple[int, ...]) -> int:
    value = 0
    for cell in cells:
        value = value << 32 | cell
    return value


def from_blob(data: bytes, source: str) -> Tree:
    """The tree in a blob.

    Raises:
        RslError: it is no device tree blob.
    """
    try:
        parsed = fdt.parse_dtb(data)
        nodes = {
            path: {each.name: _raw(each) for each in properties}
            for path, _, properties in parsed.walk()
        }
        reserved = tuple(_reserved(data, parsed.header.off_mem_rsvmap))
    except Exception as error:  # fdt raises whatever malformed input leads it to
        raise RslError(
            f"{source}: is not a device tree blob: {error}", hint="--base takes a .dtb"
        ) from error
    return Tree(source, nodes, reserved)


def _reserved(data: bytes, at: int) -> Iterator[Region]:
    """The memory reservation block. fdt.FDT.entries has those of every blob ever parsed."""
    while (entry := struct.unpack_from(">QQ", data, at)) != (0, 0):
        yield Region(*entry)
        at += 16


def _raw(each: fdt.Property) -> bytes:
    # In a blob: token, length, offset of the name, then the data, padded.
    data = bytes(each.to_dtb("")[0])
    return data[12 : 12 + int.from_bytes(data[4:8], "big")]


def from_machine(host: Host) -> Tree:
    """The tree that the machine runs with; without nodes where it has none.

    Raises:
        RslError: it cannot be read.
    """
    top = host.path(DEVICE_TREE)
    nodes: dict[str, dict[str, bytes]] = {}
    for directory, _, files in os.walk(top):
        relative = os.path.relpath(directory, top)
        path = "/" if relative == "." else f"/{relative}"
        nodes[path] = {
            name: host.read(f"{DEVICE_TREE}{path.rstrip('/')}/{name}") for name in sorted(files)
        }
    return Tree("the running device tree", nodes)
