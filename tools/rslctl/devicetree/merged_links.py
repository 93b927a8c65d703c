# SPDX-License-Identifier: BSD-3-Clause
"""The links that a tree has already, because an overlay of rslctl is merged into it."""

from __future__ import annotations

import dataclasses

from rslctl.devicetree.fifos import OWN
from rslctl.devicetree.tree import Tree, parent
from rslctl.region import Region

#: The compatibles of the links' nodes.
COMPATIBLES = {"rsl,mbox-client", "rsl,mbox-doorbell", "user-mailbox"}


def find(tree: Tree) -> dict[str, Region]:
    """Return the shared memory of each link that a tree has, by the link's name."""
    return {name: region for name, (_, _, region) in _links(tree).items()}


def without(tree: Tree) -> Tree:
    """Return the tree without its links: their nodes, and the nodes of their shared memory.

    What they disabled stays disabled. Memory of the remote's program stays reserved.
    """
    gone: set[str] = set()
    for name, (path, memory, region) in _links(tree).items():
        dashed = name.replace("_", "-")
        gone |= {path, memory, f"/shmem@{region.base:x}", f"/zynqmp-ipi-{dashed}"}
        gone |= {each for each in tree.nodes if each.endswith(f"/{OWN}{dashed}")}
    nodes = {
        path: properties
        for path, properties in tree.nodes.items()
        if path not in gone and parent(path) not in gone
    }
    return dataclasses.replace(tree, nodes=nodes)


def _links(tree: Tree) -> dict[str, tuple[str, str, Region]]:
    """The node of each link, the node of its memory, and the memory, by the link's name."""
    found = {}
    for path in tree.nodes:
        if COMPATIBLES & set(tree.texts(path, "compatible")):
            memory = tree.phandles.get(tree.cell(path, "memory-region", 0), "")
            for name in tree.texts(path, "label")[:1]:
                for region in tree.regions(memory)[:1]:
                    found[name] = (path, memory, region)
    return found
