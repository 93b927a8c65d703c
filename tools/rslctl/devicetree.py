# SPDX-License-Identifier: BSD-3-Clause
"""Device tree overlays as data, and their two forms: source text and blob.

The forms are those of dtc: ``/plugin/`` source, and a blob with ``fragment@N``
nodes whose references within the overlay are listed in ``__local_fixups__``
(Documentation/devicetree/dynamic-resolution-notes.rst of Linux).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import fdt


@dataclass(frozen=True)
class Ref:
    """The phandle of the overlay's own node that is labelled *label*."""

    label: str


#: What a property holds: nothing, strings, or 32-bit cells.
Cells = tuple[int | Ref, ...]
Value = None | str | Cells


@dataclass(frozen=True)
class Node:
    """A node: its *name* with unit address, properties and children in order."""

    name: str
    properties: tuple[tuple[str, Value], ...]
    children: tuple[Node, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Fragment:
    """A change of the node of the base tree at the path *target*."""

    target: str
    body: Node


@dataclass(frozen=True)
class Overlay:
    """An overlay with a line of comment for its source."""

    comment: str
    fragments: tuple[Fragment, ...]

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """All nodes with their paths in the merged tree, targets included."""
        for fragment in self.fragments:
            yield from _walk(fragment.target, fragment.body)

    def references(self) -> list[str]:
        """The labels that properties refer to, each once."""
        values = [value for _, node in self.nodes() for _, value in node.properties]
        cells = [cell for value in values if isinstance(value, tuple) for cell in value]
        return list(dict.fromkeys(cell.label for cell in cells if isinstance(cell, Ref)))

    def path_of(self, label: str) -> str:
        """The path, in the merged tree, of the node labelled *label*."""
        for path, node in self.nodes():
            if node.label == label:
                return path
        raise KeyError(label)


def _walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    yield path, node
    for child in node.children:
        yield from _walk(f"{path.rstrip('/')}/{child.name}", child)


def cells64(*values: int) -> Cells:
    """Each value as two cells, the upper half first."""
    return tuple(half for value in values for half in (value >> 32, value & 0xFFFFFFFF))


def encode(value: Value, phandle: Callable[[str], int]) -> bytes:
    """The bytes of a property; *phandle* gives the phandle of a label."""
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode() + b"\0"
    cells = [phandle(cell.label) if isinstance(cell, Ref) else cell for cell in value]
    return struct.pack(f">{len(cells)}I", *cells)


# Source text


def to_source(overlay: Overlay) -> str:
    """The overlay as dtc's source text, the same from run to run."""
    lines = [
        "// SPDX-License-Identifier: BSD-3-Clause",
        f"// {overlay.comment}",
        "/dts-v1/;",
        "/plugin/;",
    ]
    for fragment in overlay.fragments:
        lines += ["", f"&{{{fragment.target}}} {{"]
        lines += _source_body(fragment.body, "\t")
        lines.append("};")
    return "\n".join(lines) + "\n"


def _source_body(node: Node, indent: str) -> Iterator[str]:
    for name, value in node.properties:
        yield f"{indent}{name};" if value is None else f"{indent}{name} = {source_value(value)};"
    for child in node.children:
        label = f"{child.label}: " if child.label else ""
        yield ""
        yield f"{indent}{label}{child.name} {{"
        yield from _source_body(child, indent + "\t")
        yield f"{indent}}};"


def source_value(value: str | Cells) -> str:
    """A property's value as it is written in source text."""
    if isinstance(value, str):
        return f'"{value}"'
    return "<" + " ".join(_source_cell(cell) for cell in value) + ">"


def _source_cell(cell: int | Ref) -> str:
    if isinstance(cell, Ref):
        return f"&{cell.label}"
    return f"{cell:#x}" if cell > 0xFFF else str(cell)


# Blob


def to_blob(overlay: Overlay) -> bytes:
    """The overlay as a blob that fdtoverlay, U-Boot and Linux apply."""
    phandles = {label: number for number, label in enumerate(overlay.references(), 1)}
    tree = fdt.FDT()
    fixups = fdt.Node("__local_fixups__")
    for number, fragment in enumerate(overlay.fragments):
        node = fdt.Node(f"fragment@{number}", fdt.PropStrings("target-path", fragment.target))
        node.append(_blob_node("__overlay__", fragment.body, phandles))
        tree.add_item(node)
        fixup = _fixup_node("__overlay__", fragment.body)
        if fixup:
            fixups.append(fdt.Node(node.name, fixup))
    if fixups.nodes:
        tree.add_item(fixups)
    blob: bytes = tree.to_dtb(17, 16)  # version 17, compatible with 16: what dtc writes
    return blob


def _blob_node(name: str, node: Node, phandles: dict[str, int]) -> fdt.Node:
    result = fdt.Node(name)
    for key, value in node.properties:
        result.append(_blob_property(key, encode(value, phandles.__getitem__)))
    if node.label in phandles:
        result.append(fdt.PropWords("phandle", phandles[node.label]))
    for child in node.children:
        result.append(_blob_node(child.name, child, phandles))
    return result


def _blob_property(name: str, data: bytes) -> fdt.Property:
    return fdt.PropBytes(name, data=data) if data else fdt.Property(name)


def _fixup_node(name: str, node: Node) -> fdt.Node | None:
    """Where a node's references are, by offset in bytes; None if it has none."""
    result = fdt.Node(name)
    for key, value in node.properties:
        if isinstance(value, tuple):
            offsets = [4 * at for at, cell in enumerate(value) if isinstance(cell, Ref)]
            if offsets:
                result.append(fdt.PropWords(key, *offsets))
    for child in node.children:
        fixup = _fixup_node(child.name, child)
        if fixup:
            result.append(fixup)
    return result if result.props or result.nodes else None
