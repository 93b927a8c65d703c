# SPDX-License-Identifier: BSD-3-Clause
"""The channels that mailbox controllers have, and who uses them."""

from __future__ import annotations

import pytest
from rslctl.devicetree import mailbox_channels
from rslctl.devicetree.mailbox_styles import CONTROLLERS
from rslctl.devicetree.tree import Tree

from tests.unit.devicetree.test_tree import cells

SENDER = 0x80000000


def tree(
    compatible: str, board: str = "vendor,board", users: int = 0, protocols: bytes = b""
) -> Tree:
    """A controller at /c with phandle 9 and a sub-node with phandle 5, and nodes that use it."""
    nodes = {
        "/": {"compatible": f"{board}\0".encode()},
        "/c": {
            "compatible": f"{compatible}\0".encode(),
            "phandle": cells(9),
            "#mbox-cells": cells(2),
            "arm,mhuv2-protocols": protocols,
        },
        "/c/sub": {"phandle": cells(5)},
        "/other": {"phandle": cells(6)},
    }
    for number in range(users):
        nodes[f"/user{number}"] = {"mboxes": cells(9, 0, number)}
    return Tree("test", nodes)


PROTOCOLS = cells(0, 2, 1, 3)


@pytest.mark.parametrize(
    ("made", "has", "lacks"),
    [
        (tree("st,stm32mp1-ipcc", "st,stm32mp157"), [(0,), (5,)], [(6,)]),
        # stm32mp257f-ev1.dtb: the IPCC of an STM32MP2 has more.
        (tree("st,stm32mp1-ipcc", "st,stm32mp257"), [(15,)], [(16,)]),
        (tree("fsl,imx6sx-mu"), [(0, 3), (3, 0)], [(0, 4), (6, 0)]),
        (tree("fsl,imx95-mu"), [(2, 3)], [(2, 4)]),
        (tree("arm,mhu"), [(2,)], [(3,)]),
        (tree("arm,mhu-doorbell"), [(2, 31)], [(3, 0), (0, 32)]),
        (tree("arm,mhuv2-tx", protocols=PROTOCOLS), [(1, 31), (2, 0)], [(2, 1), (3, 0)]),
        (tree("arm,mhuv3"), [(0, 127, 31)], [(0, 0, 32), (0, 128, 0)]),
        (
            # tegra234-p3768-0000+p3767-0005.dtb
            tree("nvidia,tegra234-hsp"),
            [(0, 17), (0, 19), (1, 7), (1, SENDER + 7), (0x101, 2)],
            [(0, 18), (1, 8), (1, SENDER + 8), (2, 0)],
        ),
        (tree("ti,omap4-mailbox"), [(5,)], [(6,), (9,)]),
        (tree("thead,th1520-mbox"), [(1,), (3,)], [(0,), (4,)]),
        (tree("sophgo,cv1800b-mailbox"), [(7, 1)], [(8, 1)]),
        (tree("sprd,sc9860-mailbox"), [(7,)], [(8,)]),
        (tree("cix,sky1-mbox"), [(10,)], [(11,)]),
        (tree("allwinner,sun6i-a31-msgbox"), [(7,)], [(8,)]),
        (tree("st,stih407-mailbox"), [(3, 31)], [(4, 0), (0, 32)]),
        (tree("altr,mailbox-1.0"), [(0,)], [(1,)]),
        (tree("hisilicon,hi6220-mbox"), [(31, 31, 31)], [(32, 0, 0), (0, 32, 0)]),
        # Whatever is not known may be there.
        (tree("vendor,x"), [(99,)], []),
        (tree("microchip,sbi-ipc"), [(99,)], []),
    ],
)
def test_a_controller_has_the_channels_of_its_driver_and_no_others(
    made: Tree, has: list[tuple[int, ...]], lacks: list[tuple[int, ...]]
) -> None:
    every = set(mailbox_channels.every(made, "/c"))
    for specifier in has:
        assert mailbox_channels.problem(made, "/c", specifier) == ""
        assert specifier in every or not every
    for specifier in lacks:
        assert "has no such channel, it has <" in mailbox_channels.problem(made, "/c", specifier)
        assert specifier not in every


def test_the_channels_are_told_as_far_as_they_are_near() -> None:
    hsp = tree("nvidia,tegra186-hsp")
    told = "has no such channel, it has <0 (17 or 19)>"
    assert mailbox_channels.problem(hsp, "/c", (0, 18)) == told
    told = "has no such channel, it has <0 to 5>"
    assert mailbox_channels.problem(tree("st,stm32mp1-ipcc", "st,stm32mp157"), "/c", (6,)) == told


@pytest.mark.parametrize("board", ["xlnx,zynqmp", "xlnx,versal"])
def test_the_channels_of_an_ipi_agent_are_those_of_its_sub_nodes(board: str) -> None:
    agent = tree(f"{board}-ipi-mailbox")
    assert list(mailbox_channels.every(agent, "/c/sub")) == [(0,), (1,)]
    assert mailbox_channels.problem(agent, "/c/sub", (2,))


def test_one_channel_has_one_identity_whatever_its_specifier() -> None:
    hsp, gone = tree("nvidia,tegra234-hsp"), tree("vendor,x")
    same = [mailbox_channels.identity(hsp, "/c", each) for each in ((1, 2), (0x101, SENDER + 2))]
    assert same[0] == same[1] != mailbox_channels.identity(hsp, "/c", (0, 2))
    assert mailbox_channels.identity(gone, "/c", (1, 2)) == (1, 2)
    cpu = tree("sophgo,cv1800b-mailbox")
    assert mailbox_channels.identity(cpu, "/c", (3, 1)) == (3,)


def test_who_uses_a_channel_is_found_and_a_disabled_node_does_not() -> None:
    given = tree("arm,mhu-doorbell", users=2)
    given.nodes["/user1"]["status"] = b"disabled\0"
    assert mailbox_channels.users(given, "/c") == {(0, 0): "/user0"}
    given.nodes["/user1"]["secure-status"] = b"okay\0"
    assert len(mailbox_channels.users(given, "/c")) == 2


def test_only_so_many_can_be_in_use() -> None:
    given = tree("arm,mhu-doorbell", users=18)
    assert mailbox_channels.too_many(given, "/c", 2) == ""
    assert mailbox_channels.too_many(given, "/c", 3) == (
        "can have 20 channels in use, 18 are, and the link has 3"
    )
    assert mailbox_channels.too_many(tree("fsl,imx6sx-mu", users=18), "/c", 3) == ""


def test_channels_are_known_only_of_controllers_that_the_table_of_styles_has() -> None:
    assert mailbox_channels._KNOWN.keys() <= CONTROLLERS.keys()
