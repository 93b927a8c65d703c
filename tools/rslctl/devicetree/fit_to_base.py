# SPDX-License-Identifier: BSD-3-Clause
"""Fit a board and its overlay to one base.

The overlay refers to the base's nodes by label if the base has them, else by path.
"""

from __future__ import annotations

import dataclasses

from rslctl.devicetree import fifos
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Ref, Value
from rslctl.devicetree.tree import Tree
from rslctl.profile.model import Board, Fifos, Link, NodeRef


def board_to_base(board: Board, base: Tree) -> Board:
    """Return *board* with what *base* says of its own: cells, and interrupts of FIFOs' users."""
    said = board.interrupt_parent
    controller = base.find(said) if said else base.interrupt_parent("/")
    return dataclasses.replace(
        board,
        cells=(base.cell("/", "#address-cells", 2), base.cell("/", "#size-cells", 1)),
        interrupt_cells=base.cell(controller or "", "#interrupt-cells", board.interrupt_cells),
        links=tuple(_link(link, base) for link in board.links),
    )


def _link(link: Link, base: Tree) -> Link:
    by = link.offers.get("mailbox")
    if not isinstance(by, Fifos) or by.interrupt is not None:
        return link
    cluster = base.find(by.controller)
    index = fifos.interrupt(base, cluster, by.user) if cluster else None
    fitted = dataclasses.replace(by, interrupt=index)
    return dataclasses.replace(link, offers={**link.offers, "mailbox": fitted})


def to_base(overlay: Overlay, base: Tree) -> Overlay:
    """Return *overlay* fitted to *base*.

    The base has to have all nodes that the overlay changes or refers to. A reference to a node
    without a label becomes the number of its phandle. A node without a phandle gets one.
    """
    return _Fit(base).overlay(overlay)


class _Fit:
    """The fitting of one overlay to one base."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        #: The new labels of the base's nodes that get a phandle, by path.
        self._given: dict[str, str] = {}

    def overlay(self, overlay: Overlay) -> Overlay:
        fragments = [
            Fragment(self._target(each.target), self._node(each.body)) for each in overlay.fragments
        ]
        for path, name in self._given.items():
            target = NodeRef(paths=(path,))
            changed = [at for at, each in enumerate(fragments) if each.target == target]
            if changed:
                body = dataclasses.replace(fragments[changed[0]].body, label=name)
                fragments[changed[0]] = Fragment(target, body)
            else:
                fragments.append(Fragment(target, Node("", (), label=name)))
        return dataclasses.replace(overlay, fragments=tuple(fragments))

    def _path(self, node: NodeRef) -> str:
        path = self._base.find(node)
        if path is None:
            raise KeyError(str(node))
        return path

    def _labelled(self, node: NodeRef) -> bool:
        # fdtoverlay replaces a label by the phandle of its node, so the node has to have one.
        return bool(self._base.phandle(self._base.labels.get(node.label, "")))

    def _target(self, node: NodeRef) -> NodeRef:
        return NodeRef(node.label) if self._labelled(node) else NodeRef(paths=(self._path(node),))

    def _node(self, node: Node) -> Node:
        properties = tuple((key, self._value(value)) for key, value in node.properties)
        children = tuple(self._node(child) for child in node.children)
        return dataclasses.replace(node, properties=properties, children=children)

    def _value(self, value: Value) -> Value:
        if not isinstance(value, tuple) or not any(isinstance(cell, NodeRef) for cell in value):
            return value
        return tuple(
            self._reference(cell) if isinstance(cell, NodeRef) else cell
            for cell in value
            if not isinstance(cell, str)
        )

    def _reference(self, node: NodeRef) -> int | Ref | NodeRef:
        if self._labelled(node):
            return NodeRef(node.label)
        path = self._path(node)
        # A label of a link begins with a letter, so these labels are unique.
        return self._base.phandle(path) or Ref(
            self._given.setdefault(path, f"_base{len(self._given)}")
        )
