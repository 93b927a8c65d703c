# SPDX-License-Identifier: BSD-3-Clause
"""Free channels of a mailbox controller."""

from __future__ import annotations

import pytest
from rslctl.devicetree import free_channels
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.profile.model import Channels, Fifos, Link, NodeRef, Transport
from rslctl.region import Region

from tests.unit.devicetree.trees import Nodes, Value, board, cluster, mu

MU = "/mailbox@30aa0000"
CLUSTER = "/mailbox@29000000"
ONE = NodeRef("", (MU,))


def link(by: Transport) -> Link:
    return Link("other", Region(0, 0x1000), None, {"mailbox": by}, "mailbox")


def user(*cells: int) -> Nodes:
    return {"/user": {"mboxes": cells}}


def chosen(tree: Tree, path: str, *links: Link, number: int = 0) -> Channels | Fifos:
    return free_channels.choose(tree, path, number, links)


def test_a_messaging_unit_gives_doorbells_but_nxps_own() -> None:
    tree = board("x", mu(0x30AA0000, 7))
    assert chosen(tree, MU) == Channels(ONE, ((2, 0), (2, 2), (2, 3)), ((3, 0), (3, 2), (3, 3)))
    # Number 0 has a user in another type: remoteproc's.
    tree = board("x", {**mu(0x30AA0000, 7), **user(7, 0, 0, 7, 3, 1)})
    assert chosen(tree, MU) == Channels(ONE, ((2, 2), (2, 3)), ((3, 2), (3, 3)))


def test_doorbells_of_a_number_that_is_in_use_are_better_than_none() -> None:
    users = user(*(cell for n in range(4) for cell in (7, 0, n)))
    made = chosen(board("x", {**mu(0x30AA0000, 7), **users}), MU)
    assert made == Channels(ONE, ((2, 0),), ((3, 0),))


def test_what_other_links_have_is_not_given_again() -> None:
    tree = board("x", mu(0x30AA0000, 7))
    first = chosen(tree, MU)
    second = chosen(tree, MU, link(first))
    assert isinstance(first, Channels)
    assert isinstance(second, Channels)
    assert not {*first.tx, *first.rx} & {*second.tx, *second.rx}


def test_without_doorbells_messages_carry_the_vectors() -> None:
    users = user(*(cell for kind in (2, 3) for n in range(4) for cell in (7, kind, n)))
    made = chosen(board("x", {**mu(0x30AA0000, 7), **users}), MU)
    assert made == Channels(ONE, ((0, 3),), ((1, 3),), 8)


def test_a_full_controller_is_refused() -> None:
    users = user(*(cell for kind in range(6) for n in range(4) for cell in (7, kind, n)))
    with pytest.raises(RslError, match="has no free channels for both directions"):
        chosen(board("x", {**mu(0x30AA0000, 7), **users}), MU)


@pytest.mark.parametrize(
    ("compatible", "why"),
    [
        ("fsl,imx93-mu-s4", "speaks the protocol of NXP's firmware"),
        ("vendor,mailbox", "is not known to the kernel module"),
        ((), "no compatible. is not known"),
    ],
)
def test_a_controller_that_cannot_be_used_is_refused(compatible: Value, why: str) -> None:
    with pytest.raises(RslError, match=why):
        chosen(board("x", mu(0x30AA0000, 7, compatible=compatible)), MU)


def test_an_ipcc_gives_its_last_channels_both_ways() -> None:
    ipcc = mu(0x30AA0000, 7, compatible="st,stm32mp1-ipcc", **{"#mbox-cells": (1,)})
    assert chosen(board("st,stm32mp157", ipcc), MU) == Channels(ONE, ((4,), (5,)), ((4,), (5,)))
    users = user(7, 4, 7, 5)
    made = chosen(board("st,stm32mp157", {**ipcc, **users}), MU)
    assert made == Channels(ONE, ((2,), (3,)), ((2,), (3,)))


def test_a_cluster_gives_two_fifos_and_linuxs_user() -> None:
    there = NodeRef("", (CLUSTER,))
    tree = board("x", cluster(0x29000000, 7))
    assert chosen(tree, CLUSTER) == Fifos(there, 8, 9, 0, 8)
    assert chosen(tree, CLUSTER, number=2) == Fifos(there, 8, 9, 2, 8)
    # A sub-node says more than the table, whether it is in use or not.
    more: Nodes = {
        f"{CLUSTER}/mbox": {"ti,mbox-tx": (8, 0, 1), "ti,mbox-rx": (10, 0, 1), "status": "disabled"}
    }
    tree = board("x", {**cluster(0x29000000, 7), **more})
    first = chosen(tree, CLUSTER, number=2)
    assert first == Fifos(there, 9, 11, 1, 8)
    assert chosen(tree, CLUSTER, link(first)) == Fifos(there, 12, 13, 1, 8)


def test_the_lower_fifos_are_the_last_resort() -> None:
    tree = board("x", cluster(0x29000000, 7, **{"ti,mbox-num-fifos": (9,)}))
    assert chosen(tree, CLUSTER) == Fifos(NodeRef("", (CLUSTER,)), 8, 0, 0, 8)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"ti,mbox-num-fifos": (1,)}, "has no two free FIFOs: 1, of which 0 are used"),
        ({"interrupts": ()}, "has no interrupt for Linux in this tree"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_refused(more: dict[str, Value], why: str) -> None:
    with pytest.raises(RslError, match=why):
        chosen(board("x", cluster(0x29000000, 7, **more)), CLUSTER)


def test_a_node_is_named_by_label_too() -> None:
    tree = board("x", {**mu(0x30AA0000, 7), "/__symbols__": {"mu": MU}})
    assert chosen(tree, MU).controller == NodeRef("mu", (MU,))
