# SPDX-License-Identifier: BSD-3-Clause
"""The table of SoCs."""

from __future__ import annotations

import itertools
import re

import pytest
from rslctl.profile import reader, socs, zynqmp
from rslctl.profile.cores import CORES
from rslctl.profile.model import Doorbell, Fifos
from rslctl.profile.socs import Agent, At, Bells


def test_every_row_names_a_core_and_a_link() -> None:
    for soc in socs.SOCS:
        names = [row.name for row in soc.remotes]
        assert len(set(names)) == len(names), soc.compatibles
        for row in soc.remotes:
            assert row.core in ("", *CORES)
            assert re.fullmatch(r"[a-z][a-z0-9_]{0,30}", row.name)
            # A node has to be known by something.
            assert row.core or row.compatibles
    names = [name for soc in socs.SOCS for name in soc.compatibles]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("compatibles", "found"),
    [
        (["fsl,imx8mp-evk", "fsl,imx8mp"], "fsl,imx8mp"),
        (["xlnx,versal-net-vnx", "xlnx,versal-net"], "xlnx,versal-net"),
        (["xlnx,zynqmp-sm-k26", "xlnx,zynqmp"], "xlnx,zynqmp"),
        # The most specific entry counts, as to the kernel.
        (["vendor,board", "fsl,imx8qp", "fsl,imx8qm"], "fsl,imx8qm"),
        (["vendor,board", "vendor,chip"], None),
    ],
)
def test_an_soc_is_found_by_the_roots_compatible(compatibles: list[str], found: str | None) -> None:
    soc = socs.find(compatibles)
    assert (found in soc.compatibles) if soc else found is None


def test_the_rows_are_those_of_the_profiles_that_come_with_rslctl() -> None:
    """The profiles were tried on the trees by themselves; the table has to agree."""
    for name, compatible in (
        ("am625-sk", "ti,am625"),
        ("am642-evm", "ti,am642"),
        ("imx8mp-evk", "fsl,imx8mp"),
        ("imx93-evk", "fsl,imx93"),
        ("stm32mp157c-dk2", "st,stm32mp157"),
    ):
        link = reader.load(name).links[0]
        soc = socs.find([compatible])
        assert soc
        row = next(each for each in soc.remotes if each.name == link.name)
        assert (row.core, isinstance(row.by, At)) == (link.core, True)
        assert isinstance(row.by, At)
        assert not isinstance(link.by, Doorbell)
        assert str(getattr(link.by, "controller", "")).endswith(f"@{row.by.address:x}")
        if isinstance(link.by, Fifos):
            assert row.by.user == link.by.user
    board = reader.load("qemu-virt")
    soc = socs.find(list(board.compatible))
    assert soc
    (row,) = soc.remotes
    assert isinstance(row.by, Bells)
    assert row.by.either == ((board.links[0].by, board.links[0].remote),)
    soc = socs.find(["xlnx,zynqmp"])
    assert soc
    assert [row.by for row in soc.remotes] == [Agent(1), Agent(2)]


@pytest.mark.parametrize(
    ("compatible", "register", "spi"),
    # IPI 3 of Xilinx's system device trees: mailbox@ff360000 <0 33 4>, mailbox@eb360000 <0 60 4>.
    [("xlnx,versal", 0xFF360000, 33), ("xlnx,versal-net", 0xEB360000, 60)],
)
def test_the_ipis_of_a_versal(compatible: str, register: int, spi: int) -> None:
    soc = socs.find([compatible])
    assert soc
    kinds = [row.by for row in soc.remotes]
    bells = [each for each in kinds if isinstance(each, Bells)]
    assert len(bells) == len(kinds) == 2
    doorbell, side = bells[0].either[0]
    assert (doorbell.register, doorbell.spis) == (register, (spi,))
    # The remote is IPI 1, whose bit is 3; ours is 5 (TF-A's plat_ipi.h).
    assert (doorbell.kick_values, doorbell.status_masks) == ((1 << 3,), (1 << 3,))
    assert (side.register, side.notify_values) == (register - 0x20000 + zynqmp.TRIG, (1 << 5,))
    used = [{bell[0].register for bell in each.either} for each in bells]
    theirs = {bell[1].register for each in bells for bell in each.either}
    assert not set(itertools.chain(*used)) & theirs
