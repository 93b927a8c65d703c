# SPDX-License-Identifier: BSD-3-Clause
"""The links that a tree has already, because an overlay of rslctl is merged into it."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rslctl.devicetree.fifos import OWN
from rslctl.devicetree.tree import Tree, parent
from rslctl.region import Region

#: The compatibles of the links' nodes.
COMPATIBLES = {"rsl,mbox-client", "rsl,mbox-doorbell", "user-mailbox"}


@dataclass(frozen=True)
class Merged:
    """A link that a tree has."""

    #: The shared memory.
    memory: Region
    #: The DMA pool that the overlay gave to the remote's node; None if it gave none.
    pool: Region | None
    #: The paths of the mailbox controllers, which the overlay may have enabled.
    controllers: frozenset[str]
    #: The paths of the nodes that the overlay added for it.
    nodes: frozenset[str]


def find(tree: Tree) -> dict[str, Merged]:
    """Return the links that a tree has, by name."""
    return dict(_links(tree))


def without(tree: Tree) -> Tree:
    """Return the tree without its links: their nodes, and the nodes of their memory and pools.

    What they enabled or disabled stays so. Memory of the remote's program stays reserved.
    """
    gone = {path for link in find(tree).values() for path in link.nodes}
    regions = {tree.phandle(path) for path in gone} - {0}
    nodes = {
        path: _without_regions(tree, path, regions)
        for path in tree.nodes
        if path not in gone and parent(path) not in gone
    }
    return dataclasses.replace(tree, nodes=nodes)


def _without_regions(tree: Tree, path: str, gone: set[int]) -> dict[str, bytes]:
    """The properties of a node, whose memory-region does not list the phandles *gone* any more."""
    listed = tree.cells(path, "memory-region")
    kept = [at for at, each in enumerate(listed) if each not in gone]
    properties = tree.nodes[path]
    if len(kept) == len(listed):
        return properties
    names = tree.texts(path, "memory-region-names")
    changed = {
        "memory-region": b"".join(struct.pack(">I", listed[at]) for at in kept),
        "memory-region-names": b"".join(
            f"{names[at]}\0".encode() for at in kept if at < len(names)
        ),
    }
    return {
        key: value for key, old in properties.items() if (value := changed.get(key, old)) or not old
    }


def _links(tree: Tree) -> Iterator[tuple[str, Merged]]:
    for path in tree.nodes:
        if COMPATIBLES & set(tree.texts(path, "compatible")):
            memory = tree.phandles.get(tree.cell(path, "memory-region", 0), "")
            for name in tree.texts(path, "label")[:1]:
                for region in tree.regions(memory)[:1]:
                    yield name, _link(tree, name, path, memory, region)


def _link(tree: Tree, name: str, path: str, memory: str, region: Region) -> Merged:
    dashed = name.replace("_", "-")
    pool = tree.labels.get(f"{name}_dma_pool", "")  # overlay.label()
    own = {path, memory, pool, f"/shmem@{region.base:x}", f"/zynqmp-ipi-{dashed}"}
    own |= {each for each in tree.nodes if each.endswith(f"/{OWN}{dashed}")}
    targets = frozenset(target for target, _ in tree.specifiers(path, "mboxes", "#mbox-cells"))
    pools = tree.regions(pool)
    return Merged(region, pools[0] if pools else None, targets, frozenset(own - {""}))
