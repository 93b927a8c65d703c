# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of a running device tree with an overlay."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rslctl.devicetree.nodes import Node, Overlay, Ref, Value, encode, source_value
from rslctl.devicetree.tree import Tree
from rslctl.profile.model import NodeRef


def find(overlay: Overlay, machine: Tree) -> list[str]:
    """Return the nodes and properties of the overlay that *machine* lacks or has otherwise.

    One line each.
    """
    found = []
    for fragment in overlay.fragments:
        top = machine.find(fragment.target)
        if top is None:
            found.append(f"{fragment.target}: is missing")
        else:
            found += _node_differences(overlay, machine, top, fragment.body)
    return found


def _node_differences(overlay: Overlay, machine: Tree, path: str, node: Node) -> Iterator[str]:
    if path not in machine:
        yield f"{path}: is missing"
        return

    def phandle(reference: Ref | NodeRef) -> int:
        if isinstance(reference, NodeRef):
            return machine.phandle(machine.find(reference) or "")
        return machine.phandle(_path_of(overlay, machine, reference.label))

    for key, value in node.properties:
        expected = "present" if value is None else source_value(value)
        actual = machine.nodes[path].get(key)
        if actual is None:
            yield f"{path}: {key} is missing, the profile says {expected}"
        elif actual != encode(value, phandle):
            yield f"{path}: {key} is {_shown(actual, value)}, the profile says {expected}"
    for child in node.children:
        below = f"{path.rstrip('/')}/{child.name}"
        yield from _node_differences(overlay, machine, below, child)


def _path_of(overlay: Overlay, machine: Tree, label: str) -> str:
    """The path in *machine* of the overlay's node that is labelled *label*; "" if none is."""
    for fragment in overlay.fragments:
        top = machine.find(fragment.target) or ""
        for path, node in _labelled(top, fragment.body):
            if node.label == label:
                return path
    return ""


def _labelled(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    yield path, node
    for child in node.children:
        yield from _labelled(f"{path.rstrip('/')}/{child.name}", child)


def _shown(data: bytes, like: Value) -> str:
    """The bytes of a property as source text, in the form of the expected value *like*."""
    if isinstance(like, str) or (isinstance(like, tuple) and like and isinstance(like[0], str)):
        texts = tuple(data.decode(errors="replace").rstrip("\0").split("\0"))
        return source_value(texts)
    if data and not len(data) % 4:
        return source_value(struct.unpack(f">{len(data) // 4}I", data))
    return repr(data)
