# SPDX-License-Identifier: BSD-3-Clause
"""The data model of device tree overlays, and its output as source text and as blob.

Both forms are those of "dtc -@". The source text has ``/plugin/``. The blob has nodes
``fragment@N``; ``__local_fixups__`` lists the references to nodes of the overlay itself,
``__fixups__`` those to labels of the base (Documentation/devicetree/dynamic-resolution-notes.rst of
Linux), and ``__symbols__`` the labels of the overlay's own nodes, for overlays that come later.
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
    """A reference, by *label*, to a node of the overlay itself; it stands for its phandle."""

    label: str


#: The value of a property: empty, a string, several strings, or 32-bit cells.
Texts = tuple[str, ...]
Cells = tuple[int | Ref | NodeRef, ...]
Value = None | str | Texts | Cells


@dataclass(frozen=True)
class Node:
    """A node: *name* with unit address, and properties and children in their order."""

    name: str
    properties: tuple[tuple[str, Value], ...]
    children: tuple[Node, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Fragment:
    """A change of one node of the base tree, *target*.

    If *body* has a label, the overlay gives the target a phandle.
    """

    target: NodeRef
    body: Node

    @property
    def path(self) -> str:
        """The label of the target with a "&", or its path if it has no label."""
        return f"&{self.target.label}" if self.target.label else self.target.paths[0]


@dataclass(frozen=True)
class Overlay:
    """An overlay, and the comment line of its source text."""

    comment: str
    fragments: tuple[Fragment, ...]
    #: Whether a blob tells the labels. A running tree without labels takes none
    #: (init_overlay_changeset() in drivers/of/overlay.c of Linux).
    symbols: bool = True
    #: What is to be said of the base that it was fitted to; see conflicts.check().
    notes: tuple[str, ...] = ()

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Yield all nodes, targets included, with their paths in the merged tree."""
        for fragment in self.fragments:
            yield from _walk(fragment.path, fragment.body)

    def references(self) -> list[str]:
        """Return the labels of the overlay's own nodes that properties refer to, each once."""
        return list(dict.fromkeys(cell.label for cell in self._cells() if isinstance(cell, Ref)))

    def base_nodes(self) -> list[NodeRef]:
        """Return the nodes of the base that the overlay changes or refers to, each once."""
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
        """Return the path in the merged tree of the node labelled *label*.

        Raises:
            KeyError: no node has this label.
        """
        for path, node in self.nodes():
            if node.label == label:
                return path
        raise KeyError(label)


def _walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    yield path, node
    for child in node.children:
        yield from _walk(f"{path.rstrip('/')}/{child.name}", child)


def wide(value: int, cells: int) -> tuple[int, ...]:
    """Split a number into 32-bit cells, the upper one first; higher bits are cut off."""
    return tuple(value >> 32 * at & 0xFFFFFFFF for at in reversed(range(cells)))


def encode(value: Value, phandle: Callable[[Ref | NodeRef], int]) -> bytes:
    """Return the bytes of a property; the function *phandle* returns the phandle of a node."""
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
    """Check that all references to nodes of the base are by label, as an overlay needs it."""
    for _, node in overlay.nodes():
        for _, value in node.properties:
            for cell in value if isinstance(value, tuple) else ():
                if isinstance(cell, NodeRef) and not cell.label:
                    raise RslError(
                        f"node {cell} can be referred to by its path only with --base",
                        hint="give --base FILE.dtb, or the node's label in the profile",
                    )


def to_source(overlay: Overlay) -> str:
    """Return the overlay as source text for dtc. The same overlay always gives the same text.

    Raises:
        RslError: the overlay refers by path to a node of the base.
    """
    _check_references(overlay)
    lines = [
        "// SPDX-License-Identifier: BSD-3-Clause",
        f"// {overlay.comment}",
        "/dts-v1/;",
        "/plugin/;",
    ]
    # A label on the target needs the long form, with nodes fragment@N.
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
    """Return a whole device tree as source text for dtc."""
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
    """Return the value of a property as source text."""
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

#: The placeholder for a phandle that is found by a label of the base.
_UNRESOLVED = 0xFFFFFFFF


def to_blob(overlay: Overlay) -> bytes:
    """Return the overlay as a blob for fdtoverlay, U-Boot and Linux.

    Raises:
        RslError: the overlay refers by path to a node of the base.
    """
    _check_references(overlay)
    symbols = _symbols(overlay) if overlay.symbols else {}
    labels = dict.fromkeys((*overlay.references(), *symbols))
    phandles = {label: number for number, label in enumerate(labels, 1)}
    tree = fdt.FDT(entries=[])  # the default is one list that all trees share
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
    if symbols:
        paths = [fdt.PropStrings(label, path) for label, path in symbols.items()]
        tree.add_item(fdt.Node("__symbols__", *paths))
    blob: bytes = tree.to_dtb(17, 16)  # version 17, compatible with 16, as dtc writes it
    return blob


def _symbols(overlay: Overlay) -> dict[str, str]:
    """The paths in the overlay of its own nodes that have a label, by label."""
    return {
        node.label: path
        for number, fragment in enumerate(overlay.fragments)
        for path, node in _walk(f"/fragment@{number}/__overlay__", fragment.body)
        if node.label
    }


def blob_of(root: Node) -> bytes:
    """Return a whole device tree as a blob; the tree refers to its own nodes only."""
    phandles = {label: number for number, label in enumerate(_labels(root), 1)}
    tree = fdt.FDT(entries=[])  # the default is one list that all trees share
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
    """The node of __local_fixups__ for *node*: offsets of references to the overlay's own nodes.

    None if *node* has no such reference.
    """
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
    """Add to *fixups*, by label, the places of a node's references to labels of the base."""
    for key, value in node.properties:
        for at, cell in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(cell, NodeRef):
                fixups.setdefault(cell.label, []).append(f"{path}:{key}:{4 * at}")
    for child in node.children:
        _collect_fixups(f"{path}/{child.name}", child, fixups)
