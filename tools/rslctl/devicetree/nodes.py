# SPDX-License-Identifier: BSD-3-Clause
"""Device tree overlays as data, and their two forms: source text and blob.

The forms are those of dtc: ``/plugin/`` source, and a blob with ``fragment@N``
nodes whose references within the overlay are listed in ``__local_fixups__``, those
to labels of the base in ``__fixups__``
(Documentation/devicetree/dynamic-resolution-notes.rst of Linux).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import fdt

from rslctl.errors import RslError
from rslctl.profile.model import NodeRef

ROOT = NodeRef(paths=("/",))


@dataclass(frozen=True)
class Ref:
    """The phandle of the overlay's own node that is labelled *label*."""

    label: str


#: What a property holds: nothing, a string, strings, or 32-bit cells.
Texts = tuple[str, ...]
Cells = tuple[int | Ref | NodeRef, ...]
Value = None | str | Texts | Cells


@dataclass(frozen=True)
class Node:
    """A node: its *name* with unit address, properties and children in order."""

    name: str
    properties: tuple[tuple[str, Value], ...]
    children: tuple[Node, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Fragment:
    """A change of the node of the base tree that *target* is.

    A label of *body* makes a phandle for the target, which has none of its own.
    """

    target: NodeRef
    body: Node

    @property
    def path(self) -> str:
        """The label of the target with a "&", or its path where it has none."""
        return f"&{self.target.label}" if self.target.label else self.target.paths[0]


@dataclass(frozen=True)
class Overlay:
    """An overlay with a line of comment for its source."""

    comment: str
    fragments: tuple[Fragment, ...]

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """All nodes with their paths in the merged tree, targets included."""
        for fragment in self.fragments:
            yield from _walk(fragment.path, fragment.body)

    def references(self) -> list[str]:
        """The labels of its own nodes that properties refer to, each once."""
        return list(dict.fromkeys(cell.label for cell in self._cells() if isinstance(cell, Ref)))

    def base_nodes(self) -> list[NodeRef]:
        """The nodes of the base that it changes or refers to, each once."""
        cells = [cell for cell in self._cells() if isinstance(cell, NodeRef)]
        return list(dict.fromkeys([*(each.target for each in self.fragments), *cells]))

    def _cells(self) -> list[int | Ref | NodeRef]:
        values = [value for _, node in self.nodes() for _, value in node.properties]
        return [
            cell
            for value in values
            if isinstance(value, tuple)
            for cell in value
            if not isinstance(cell, str)
        ]

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


def wide(value: int, cells: int) -> tuple[int, ...]:
    """A number in big-endian cells, the upper ones first; too many are cut off."""
    return tuple(value >> 32 * at & 0xFFFFFFFF for at in reversed(range(cells)))


def encode(value: Value, phandle: Callable[[Ref | NodeRef], int]) -> bytes:
    """The bytes of a property; *phandle* gives the phandle of a node."""
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode() + b"\0"
    if value and isinstance(value[0], str):
        return b"".join(str(text).encode() + b"\0" for text in value)
    cells = [
        cell if isinstance(cell, int) else phandle(cell)
        for cell in value
        if not isinstance(cell, str)
    ]
    return struct.pack(f">{len(cells)}I", *cells)


# Source text


def _check_references(overlay: Overlay) -> None:
    """Check that references to the base are by label: an overlay has no others."""
    for _, node in overlay.nodes():
        for _, value in node.properties:
            for cell in value if isinstance(value, tuple) else ():
                if isinstance(cell, NodeRef) and not cell.label:
                    raise RslError(
                        f"node {cell} can be referred to by its path only with --base",
                        hint="give --base FILE.dtb, or the node's label in the profile",
                    )


def to_source(overlay: Overlay) -> str:
    """The overlay as dtc's source text, the same from run to run.

    Raises:
        RslError: it refers to a node of the base without a label.
    """
    _check_references(overlay)
    lines = [
        "// SPDX-License-Identifier: BSD-3-Clause",
        f"// {overlay.comment}",
        "/dts-v1/;",
        "/plugin/;",
    ]
    # Only a fragment that is written out can have a label on its target.
    if any(fragment.body.label for fragment in overlay.fragments):
        lines += ["", "/ {"]
        for number, fragment in enumerate(overlay.fragments):
            lines += _source_fragment(number, fragment)
        lines.append("};")
        return "\n".join(lines) + "\n"
    for fragment in overlay.fragments:
        path = fragment.path
        lines += ["", f"{path} {{" if path.startswith("&") else f"&{{{path}}} {{"]
        lines += _source_body(fragment.body, "\t")
        lines.append("};")
    return "\n".join(lines) + "\n"


def source_of(comment: str, root: Node) -> str:
    """A whole tree as dtc's source text."""
    lines = ["// SPDX-License-Identifier: BSD-3-Clause", f"// {comment}", "/dts-v1/;", "", "/ {"]
    return "\n".join([*lines, *_source_body(root, "\t"), "};", ""])


def _source_fragment(number: int, fragment: Fragment) -> Iterator[str]:
    path = fragment.path
    target = f"target = <{path}>" if path.startswith("&") else f'target-path = "{path}"'
    label = f"{fragment.body.label}: " if fragment.body.label else ""
    yield from [""] * bool(number)
    yield from (f"\tfragment@{number} {{", f"\t\t{target};", "", f"\t\t{label}__overlay__ {{")
    yield from _source_body(fragment.body, "\t\t\t")
    yield from ("\t\t};", "\t};")


def _source_body(node: Node, indent: str) -> Iterator[str]:
    for name, value in node.properties:
        yield f"{indent}{name};" if value is None else f"{indent}{name} = {source_value(value)};"
    for number, child in enumerate(node.children):
        label = f"{child.label}: " if child.label else ""
        yield from [""] * bool(number or node.properties)
        yield f"{indent}{label}{child.name} {{"
        yield from _source_body(child, indent + "\t")
        yield f"{indent}}};"


def source_value(value: str | Texts | Cells) -> str:
    """A property's value as it is written in source text."""
    if isinstance(value, str):
        return f'"{value}"'
    if value and isinstance(value[0], str):
        return ", ".join(f'"{text}"' for text in value)
    return "<" + " ".join(_source_cell(cell) for cell in value) + ">"


def _source_cell(cell: int | str | Ref | NodeRef) -> str:
    if isinstance(cell, int):
        return f"{cell:#x}" if cell > 0xFFF else str(cell)
    if isinstance(cell, NodeRef) and not cell.label:
        return f"&{{{cell}}}"
    return f"&{cell if isinstance(cell, str) else cell.label}"


# Blob

#: A phandle that the base's symbols will give.
_UNRESOLVED = 0xFFFFFFFF


def to_blob(overlay: Overlay) -> bytes:
    """The overlay as a blob that fdtoverlay, U-Boot and Linux apply.

    Raises:
        RslError: it refers to a node of the base without a label.
    """
    _check_references(overlay)
    phandles = {label: number for number, label in enumerate(overlay.references(), 1)}
    tree = fdt.FDT(entries=[])  # its own default is one list for all
    local = fdt.Node("__local_fixups__")
    fixups: dict[str, list[str]] = {}
    for number, fragment in enumerate(overlay.fragments):
        name = f"fragment@{number}"
        node = fdt.Node(name)
        if fragment.path.startswith("&"):
            node.append(fdt.PropWords("target", _UNRESOLVED))
            fixups.setdefault(fragment.target.label, []).append(f"/{name}:target:0")
        else:
            node.append(fdt.PropStrings("target-path", fragment.path))
        node.append(_blob_node("__overlay__", fragment.body, phandles))
        tree.add_item(node)
        found = _local_fixups("__overlay__", fragment.body)
        if found:
            local.append(fdt.Node(name, found))
        _collect_fixups(f"/{name}/__overlay__", fragment.body, fixups)
    if fixups:
        properties = [fdt.PropStrings(label, *places) for label, places in fixups.items()]
        tree.add_item(fdt.Node("__fixups__", *properties))
    if local.nodes:
        tree.add_item(local)
    blob: bytes = tree.to_dtb(17, 16)  # version 17, compatible with 16: what dtc writes
    return blob


def blob_of(root: Node) -> bytes:
    """A whole tree as a blob; it has no references to others."""
    phandles = {label: number for number, label in enumerate(_labels(root), 1)}
    tree = fdt.FDT(entries=[])  # its own default is one list for all
    made = _blob_node("/", root, phandles)
    for each in (*made.props, *made.nodes):
        tree.add_item(each)
    blob: bytes = tree.to_dtb(17, 16)
    return blob


def _labels(node: Node) -> list[str]:
    return [node.label] * bool(node.label) + [
        label for child in node.children for label in _labels(child)
    ]


def _blob_node(name: str, node: Node, phandles: dict[str, int]) -> fdt.Node:
    def phandle(reference: Ref | NodeRef) -> int:
        return phandles[reference.label] if isinstance(reference, Ref) else _UNRESOLVED

    result = fdt.Node(name)
    for key, value in node.properties:
        result.append(_blob_property(key, encode(value, phandle)))
    if node.label in phandles:
        result.append(fdt.PropWords("phandle", phandles[node.label]))
    for child in node.children:
        result.append(_blob_node(child.name, child, phandles))
    return result


def _blob_property(name: str, data: bytes) -> fdt.Property:
    return fdt.PropBytes(name, data=data) if data else fdt.Property(name)


def _local_fixups(name: str, node: Node) -> fdt.Node | None:
    """Where a node's references to the overlay's nodes are, by offset; None if it has none."""
    result = fdt.Node(name)
    for key, value in node.properties:
        if isinstance(value, tuple):
            offsets = [4 * at for at, cell in enumerate(value) if isinstance(cell, Ref)]
            if offsets:
                result.append(fdt.PropWords(key, *offsets))
    for child in node.children:
        fixup = _local_fixups(child.name, child)
        if fixup:
            result.append(fixup)
    return result if result.props or result.nodes else None


def _collect_fixups(path: str, node: Node, fixups: dict[str, list[str]]) -> None:
    """Add where a node's references to labels of the base are, by label."""
    for key, value in node.properties:
        for at, cell in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(cell, NodeRef):
                fixups.setdefault(cell.label, []).append(f"{path}:{key}:{4 * at}")
    for child in node.children:
        _collect_fixups(f"{path}/{child.name}", child, fixups)
