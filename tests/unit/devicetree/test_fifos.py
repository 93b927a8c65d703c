# SPDX-License-Identifier: BSD-3-Clause
"""The users and interrupts of TI's mailbox clusters, as the trees of real boards have them."""

from __future__ import annotations

import pytest
from rslctl.devicetree import fifos
from rslctl.devicetree.tree import Tree

from tests.unit.devicetree.test_tree import cells


def cluster(
    lines: int, *subs: tuple[tuple[int, ...], tuple[int, ...]], noirq: bool = False
) -> Tree:
    """A cluster with a number of interrupts, and sub-nodes with ti,mbox-tx and ti,mbox-rx."""
    rows = [cell for number in range(lines) for cell in (0, 249 + number, 4)]
    nodes = {
        "/": {"interrupt-parent": cells(1)},
        "/gic": {"phandle": cells(1), "#interrupt-cells": cells(3)},
        "/c": {"interrupts": cells(*rows), "ti,mbox-num-users": cells(4)},
    }
    for number, (tx, rx) in enumerate(subs):
        nodes[f"/c/mbox-{number}"] = {"ti,mbox-tx": cells(*tx), "ti,mbox-rx": cells(*rx)}
        if noirq:
            nodes[f"/c/mbox-{number}"]["ti,mbox-send-noirq"] = b""
    nodes["/c/mbox-rsl-r0"] = {"ti,mbox-tx": cells(8, 3, 1), "ti,mbox-rx": cells(9, 3, 1)}
    return Tree("test", nodes)


#: am57xx-beagle-x15.dtb: Linux is user 2, and has the third of four interrupts.
X15 = cluster(4, ((6, 2, 2), (4, 2, 2)), ((5, 2, 2), (1, 2, 2)))
#: am335x-boneblack.dtb: mbox-wkup-m3, of which the remote is user 3.
BONE = cluster(1, ((0, 0, 0), (0, 0, 3)), noirq=True)


@pytest.mark.parametrize(
    ("tree", "user", "index"),
    [
        (X15, 2, 2),
        # No sub-node says it, but there is one interrupt for each user.
        (X15, 1, 1),
        (BONE, 0, 0),
        (BONE, 3, 0),
        # k3-am642-evm.dtb: the users 2 and 3 have the interrupts 0 and 1.
        (cluster(2, ((1, 0, 2), (0, 0, 2))), 2, 0),
        (cluster(2, ((1, 1, 3), (0, 1, 3))), 3, 1),
        (cluster(2, ((1, 0, 2), (0, 0, 2))), 3, None),
        (cluster(0), 0, None),
    ],
)
def test_a_users_interrupt_is_that_which_the_tree_gives_it(
    tree: Tree, user: int, index: int | None
) -> None:
    assert fifos.interrupt(tree, "/c", user) == index


def test_each_direction_has_a_user_and_a_borrowed_one_is_the_remotes() -> None:
    assert [(use.fifo, use.user, use.remote) for use in fifos.uses(BONE, "/c")] == [
        (0, 0, False),
        (0, 3, True),
    ]
    assert {use.user for use in fifos.uses(X15, "/c")} == {2}
