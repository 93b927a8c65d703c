# SPDX-License-Identifier: BSD-3-Clause
"""Free channels of a mailbox controller, for kicks and for notifications."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection

from rslctl.devicetree import fifos, mailbox_channels, mailbox_styles
from rslctl.devicetree.mailbox_channels import Specifier
from rslctl.devicetree.mailbox_styles import Style
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.profile.model import Channels, Fifos, Link, NodeRef

#: How many channels a link gets in each direction at most, and how many vectors in a payload.
_CHANNELS = 3
_SHARED = 2
_VECTORS = 8

#: The first FIFO that is tried: vendors' programs use the lower ones between the remotes, too.
_FIRST_FIFO = 8

#: The channel of each type that NXP's programs use for remoteproc, whether a tree has them or not
#: (Documentation/devicetree/bindings/remoteproc/fsl,imx-rproc.yaml of Linux).
_NXP_CHANNEL = 1

#: The most channels of a controller that are looked at.
_MOST = 4096


def choose(tree: Tree, controller: str, user: int, links: Collection[Link]) -> Channels | Fifos:
    """Return channels of the controller at a path that no node of *tree* and none of *links* uses.

    *user* is the number of Linux at a TI cluster whose sub-nodes do not say it.

    Raises:
        RslError: the controller has no free channels that a link can use.
    """
    if "ti,mbox-num-fifos" in tree.nodes[controller]:
        return _fifos(tree, controller, user, links)
    return _channels(tree, controller, links)


def node(tree: Tree, path: str) -> NodeRef:
    """Return a reference to a node: by path, and by label if the tree has one."""
    label = next((name for name, each in tree.labels.items() if each == path), "")
    return NodeRef(label, (path,))


def _fifos(tree: Tree, cluster: str, user: int, links: Collection[Link]) -> Fifos:
    uses = list(fifos.uses(tree, cluster))
    taken = {use.fifo for use in uses}
    for link in links:
        if isinstance(link.by, Fifos) and tree.find(link.by.controller) == cluster:
            taken |= {link.by.tx, link.by.rx}
    number = min(tree.cell(cluster, "ti,mbox-num-fifos", 16), 16)
    order = [*range(_FIRST_FIFO, number), *range(min(_FIRST_FIFO, number))]
    free = [each for each in order if each not in taken]
    if len(free) < 2:
        raise RslError(f"{cluster} has no two free FIFOs: {number}, of which {len(taken)} are used")
    if not tree.interrupts(cluster):
        raise RslError(f"{cluster} has no interrupt for Linux in this tree")
    said = next((use.user for use in uses if not use.remote), user)
    return Fifos(node(tree, cluster), free[0], free[1], said, _VECTORS)


def _channels(tree: Tree, controller: str, links: Collection[Link]) -> Channels:
    claimed = {*mailbox_channels.users(tree, controller), *_claimed(tree, controller, links)}
    every = list(itertools.islice(mailbox_channels.every(tree, controller), _MOST))
    styles = {each: mailbox_styles.find(tree, controller, each) for each in every}
    usable = {each: style for each, style in styles.items() if style and not style.refused}
    free = {
        each: style
        for each, style in usable.items()
        if mailbox_channels.identity(tree, controller, each) not in claimed
    }
    made = _doorbells(tree, controller, free, claimed) or _messages(free)
    if made:
        tx, rx, vectors = made
        return Channels(node(tree, controller), tx, rx, vectors)
    names = ", ".join(tree.texts(controller, "compatible")) or "no compatible"
    text = f"{controller} ({names})"
    if usable:
        raise RslError(f"{text} has no free channels for both directions")
    style = next(iter(styles.values()), mailbox_styles.find(tree, controller, ()))
    if style and style.refused:
        raise RslError(f"{text}: {style.refused}")
    raise RslError(f"{text} is not known to the kernel module, or its channels are not")


def _claimed(tree: Tree, controller: str, links: Collection[Link]) -> set[Specifier]:
    return {
        mailbox_channels.identity(tree, controller, each)
        for link in links
        if isinstance(link.by, Channels) and tree.find(link.by.controller) == controller
        for each in (*link.by.tx, *link.by.rx)
    }


Chosen = tuple[tuple[Specifier, ...], tuple[Specifier, ...], int]


def _doorbells(
    tree: Tree, controller: str, styles: dict[Specifier, Style], claimed: set[Specifier]
) -> Chosen | None:
    """Channels without a payload, one for each vector."""
    bare = {each: style for each, style in styles.items() if style.payload == "none"}
    shared = tuple(each for each, style in bare.items() if style.way == "both")
    if shared:
        # Vendors' programs use the first ones.
        return shared[-_SHARED:], shared[-_SHARED:], 0
    used = {each[1:] for each in claimed}
    if any(re.fullmatch(r"fsl,imx\w+-mu", name) for name in tree.texts(controller, "compatible")):
        used.add((_NXP_CHANNEL,))
    sides = [
        {each[1:]: each for each, style in bare.items() if style.way == way}
        for way in ("kicks", "notifications")
    ]
    both = [tail for tail in sides[0] if tail in sides[1]]
    # A number that remoteproc has in another type is left to it, if there are enough.
    tails = sorted(both, key=lambda tail: tail in used)
    tails = [tail for tail in tails if tail not in used][:_CHANNELS] or tails[:1]
    if not tails:
        return None
    return tuple(sides[0][each] for each in tails), tuple(sides[1][each] for each in tails), 0


def _messages(styles: dict[Specifier, Style]) -> Chosen | None:
    """One channel, or one for each direction, whose messages carry the vectors."""
    paid = {each: style for each, style in styles.items() if style.payload != "none"}
    shared = [each for each, style in paid.items() if style.way == "both"]
    kicks = [each for each, style in paid.items() if style.way == "kicks"]
    notes = [each for each, style in paid.items() if style.way == "notifications"]
    pair = (shared[-1], shared[-1]) if shared else (*kicks[-1:], *notes[-1:])
    if len(pair) != 2:
        return None
    vectors = 0 if paid[pair[0]].tx_done == "client" else _VECTORS
    return (pair[0],), (pair[1],), vectors
