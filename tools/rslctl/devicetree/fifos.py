# SPDX-License-Identifier: BSD-3-Clause
"""The users and the interrupts of a TI mailbox cluster, as its sub-nodes say them.

A sub-node has for each direction the FIFO, the index of an interrupt of the cluster, and a user
(drivers/mailbox/omap-mailbox.c of Linux, omap_mbox_probe()). A user is a processor: each has
interrupts of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rslctl.devicetree.tree import Tree

#: The beginning of the name of the sub-nodes that the overlay adds.
OWN = "mbox-rsl-"


@dataclass(frozen=True)
class Use:
    """A direction of a sub-node."""

    path: str
    fifo: int
    interrupt: int
    user: int
    #: Whether the user is the remote: Linux has to take back what it sent, and borrows the
    #: remote's interrupt for it (ti,mbox-send-noirq).
    remote: bool


def uses(tree: Tree, cluster: str) -> Iterator[Use]:
    """Yield the directions of the sub-nodes of a cluster, disabled ones as well; not our own."""
    for path in tree.children(cluster):
        if path.rpartition("/")[2].startswith(OWN):
            continue
        for key in ("ti,mbox-tx", "ti,mbox-rx"):
            cells = tree.cells(path, key)
            if len(cells) == 3:
                borrowed = key == "ti,mbox-rx" and "ti,mbox-send-noirq" in tree.nodes[path]
                yield Use(path, *cells, remote=borrowed)


def interrupt(tree: Tree, cluster: str, user: int) -> int | None:
    """Return the index of the interrupt of *user* among those of the cluster; None if unknown.

    It is that in the sub-nodes of this user. Without one, a cluster with an interrupt for each
    user has them in their order.
    """
    for use in uses(tree, cluster):
        if use.user == user and not use.remote:
            return use.interrupt
    count = len(tree.interrupts(cluster))
    if count == tree.cell(cluster, "ti,mbox-num-users", 4):
        return user
    return 0 if count == 1 else None
