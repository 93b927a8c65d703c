# SPDX-License-Identifier: BSD-3-Clause
"""Profiles made from trees."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.devicetree import merged_links, overlay, propose, remoteproc, remotes
from rslctl.devicetree.holes import Running
from rslctl.devicetree.propose import Proposal
from rslctl.devicetree.tree import Tree, from_blob
from rslctl.errors import RslError
from rslctl.profile import reader, socs
from rslctl.profile.model import Board, Channels, Doorbell, Fifos, Ipi, Link, NodeRef, RemoteSide
from rslctl.profile.socs import At
from rslctl.region import Region

from tests.unit.devicetree.support import BASE, dtc, merged_with
from tests.unit.devicetree.trees import Nodes, Value, blob, board, cluster, mu, properties, raw

SIZE = 0x1000000


def proposed(tree: Tree, running: Running = Running()) -> Proposal:  # noqa: B008 -- frozen
    return propose.propose(tree, SIZE, running)


def profile(made: Proposal) -> Board:
    return reader.from_text(made.text, "proposed.toml", "proposed")


def comments(made: Proposal) -> str:
    """The text without the breaks of its lines."""
    return re.sub(r"\n#   ", " ", made.text)


def test_an_imx_gets_doorbells_of_its_messaging_unit() -> None:
    made = proposed(board("fsl,imx8mm", mu(0x30AA0000, 7, status="disabled")))
    assert (made.links, made.refused) == (("m4",), {})
    found = profile(made)
    (link,) = found.links
    assert (found.compatible, found.cells, found.description) == (
        ("vendor,board",),
        (1, 1),
        "A board (proposed)",
    )
    assert isinstance(link.by, Channels)
    assert link.by.tx == ((2, 0), (2, 2), (2, 3))
    assert (link.memory, link.core) == (Region(0x70000000, SIZE), "imx8mm-m4")
    # The unit is disabled in the tree.
    assert found.enable == (NodeRef("", ("/mailbox@30aa0000",)),)
    assert "Assumed: it is disabled in the tree and can be enabled." in made.text
    assert "Look up: what boots the remote" in made.text


@pytest.mark.parametrize("cells", [1, 2])
def test_the_initrd_is_not_in_the_hole(cells: int) -> None:
    free = profile(proposed(board("fsl,imx8mm", mu(0x30AA0000, 7)))).links[0].memory
    tree = board("fsl,imx8mm", mu(0x30AA0000, 7))
    tree.nodes["/chosen"] = {
        f"linux,initrd-{name}": at.to_bytes(4 * cells, "big")
        for name, at in (("start", free.base + 0x1000), ("end", free.base + 0x2000))
    }
    found = profile(proposed(tree)).links[0].memory
    assert not found.overlaps(Region(free.base + 0x1000, 0x1000))


@pytest.mark.parametrize(
    ("node", "what"),
    [("/images", "is a FIT image"), ("/fragment@0/__overlay__", "is an overlay")],
)
def test_what_is_no_tree_is_named_as_what_it_is(node: str, what: str) -> None:
    tree = board("fsl,imx8mm", mu(0x30AA0000, 7))
    tree.nodes.update({node: {}, "/configurations": {}})
    with pytest.raises(RslError, match=what):
        proposed(tree)


def test_a_k3_gets_fifos_its_core_and_a_pool_for_its_driver() -> None:
    nodes: Nodes = {
        **cluster(0x29060000, 7),
        "/bus": {"#address-cells": (1,), "#size-cells": (1,), "ranges": None},
        "/bus/m4fss@5000000": {"compatible": "ti,am64-m4fss", "status": "disabled"},
        **{
            each: part
            for n in (2, 4)
            for each, part in cluster(0x29000000 + n * 0x10000, n).items()
        },
    }
    made = proposed(board("ti,am642", nodes))
    assert set(made.links) == {"m4", *(f"main_r5fss{n}_core{m}" for n in (0, 1) for m in (0, 1))}
    found = profile(made)
    link = found.links[0]
    assert link.by == Fifos(NodeRef("", ("/mailbox@29060000",)), 8, 9, 2, 8)
    assert link.remoteproc
    assert link.remoteproc.node == NodeRef("", ("/bus/m4fss@5000000",))
    pool = link.remoteproc.dma_pool
    assert pool
    assert pool.size == 0x100000
    # Two R5s share a cluster and no FIFO, and no two links memory.
    by = [each.by for each in found.links if isinstance(each.by, Fifos)]
    used = [(str(each.controller), n) for each in by for n in (each.tx, each.rx)]
    assert len(set(used)) == 10
    regions = [region for each in found.links for _, region in each.regions()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(regions, 2))


def test_a_zynqmp_gets_agents_and_the_mode_of_its_cluster() -> None:
    def cores(name: str, mode: int, status: str) -> Nodes:
        r5 = {"compatible": "xlnx,zynqmp-r5f"}
        return {
            f"/{name}": {
                "compatible": "xlnx,zynqmp-r5fss",
                "xlnx,cluster-mode": (mode,),
                "status": status,
            },
            f"/{name}/r5f@0": r5,
            f"/{name}/r5f@1": r5,
        }

    nodes = {**cores("split@ffe00000", 0, "okay"), **cores("lock@ffe00000", 1, "disabled")}
    found = profile(proposed(board("xlnx,zynqmp", nodes)))
    assert [link.by for link in found.links] == [Ipi(7, 1), Ipi(8, 2)]
    assert [link.remoteproc and link.remoteproc.mode for link in found.links] == ["split"] * 2
    nodes = {**cores("split@ffe00000", 0, "disabled"), **cores("lock@ffe00000", 1, "okay")}
    made = proposed(board("xlnx,zynqmp", nodes))
    assert [link.by for link in profile(made).links] == [Ipi(7, 1)]
    assert "does not run on its own in lockstep" in made.refused["rpu1"]
    # A tree of before the clusters gets one, if its kernel has the firmware's driver.
    firmware: Nodes = {"/firmware/zynqmp-firmware": {"phandle": (9,)}}
    empty: Nodes = {}
    for before, mode in ((empty, None), (firmware, "split")):
        found = profile(proposed(board("xlnx,zynqmp", before)))
        assert [each.remoteproc and each.remoteproc.mode for each in found.links] == [mode] * 2


def test_an_agent_of_the_trees_own_is_left_alone() -> None:
    nodes: Nodes = {"/ipi": {"compatible": "xlnx,zynqmp-ipi-mailbox", "xlnx,ipi-id": (7,)}}
    found = profile(proposed(board("xlnx,zynqmp", nodes)))
    assert [link.by for link in found.links] == [Ipi(8, 1), Ipi(9, 2)]


def test_a_versal_gets_doorbells_and_its_remotes_side() -> None:
    tree = board("xlnx,versal", {"/user": {"interrupts": (0, 33, 4)}})
    found = profile(proposed(tree))
    bells = [link.by for link in found.links]
    assert all(isinstance(each, Doorbell) for each in bells)
    # IPI 3 has the interrupt 33, which is in use: 4 and 5 are taken.
    assert [each.register for each in bells if isinstance(each, Doorbell)] == [
        0xFF370000,
        0xFF380000,
    ]
    assert [link.core for link in found.links] == ["versal-r5-0", "versal-r5-1"]
    assert all(link.remote and link.remote.register for link in found.links)


def test_an_interrupt_parent_is_given_if_the_root_does_not_say_it() -> None:
    tree = board("xlnx,zynqmp", {"/dev": {"interrupts": (0, 1, 4), "interrupt-parent": (1,)}})
    assert profile(proposed(tree)).interrupt_parent is None
    del tree.nodes["/"]["interrupt-parent"]
    assert profile(proposed(tree)).interrupt_parent == NodeRef("", ("/gic",))


#: QEMU's virt with the frame's compatible, as QEMU itself writes it.
VIRT = BASE.replace("v2m@8020000 {", 'v2m@8020000 { compatible = "arm,gic-v2m-frame";')


def test_the_emulated_board_gets_the_profile_that_comes_with_rslctl() -> None:
    own = reader.load("qemu-virt")
    base = dtc(VIRT)
    for tree in (from_blob(base, "base"), from_blob(merged_with(base), "merged")):
        found = profile(proposed(tree))
        (link,) = found.links
        assert (found.compatible, found.disable) == (own.compatible, own.disable)
        assert (link.name, link.by, link.remote) == ("rpu0", own.links[0].by, own.links[0].remote)
        assert link.memory.size == SIZE
    # In the board itself the link is there, and stays where it is.
    assert link.memory == own.links[0].memory
    assert "Found: the memory of the link that the tree has already." in proposed(tree).text


@pytest.mark.parametrize(
    "given",
    [
        *(
            ("fsl,imx8mm", mu(0x30AA0000, 7, **status))
            for status in ({}, {"status": "disabled"}, {"status": "okay"})
        ),
        (
            "ti,am642",
            {
                **cluster(0x29060000, 7, status="disabled"),
                "/m4fss": {"compatible": "ti,am64-m4fss", "status": "disabled"},
            },
        ),
        ("xlnx,zynqmp", {"/firmware/zynqmp-firmware": {"phandle": (9,)}}),
        ("xlnx,versal", {"/x@ff360000": {"reg": (0xFF360000, 0x1000), "status": "disabled"}}),
    ],
)
def test_with_the_links_in_the_tree_the_profile_is_for_the_tree_without_them(
    given: tuple[str, Nodes],
) -> None:
    plain = blob(board(*given))
    base = from_blob(plain, "base")
    first = profile(proposed(base))
    # By another pool than a proposal would take itself.
    links = tuple(moved(link) for link in first.links)
    first = dataclasses.replace(first, links=links)
    merged = overlay.merge(overlay.for_base(first, "rsl", base), plain)
    made = proposed(from_blob(merged, "merged"))
    again = profile(made)
    assert again.links == first.links
    assert set(again.enable) >= set(first.enable)
    assert again.disable == first.disable
    # What it enables besides is as it was: it says okay.
    assert all(
        base.enabled(path) for each in again.enable[len(first.enable) :] for path in each.paths
    )
    assert ("Assumed: that link's overlay enabled it" in comments(made)) == bool(again.enable)
    overlay.for_base(again, "rsl", base)


def moved(link: Link) -> Link:
    """A link with its DMA pool somewhere else."""
    if not (link.remoteproc and link.remoteproc.dma_pool):
        return link
    boots = dataclasses.replace(link.remoteproc, dma_pool=Region(0x41000000, 0x200000))
    return dataclasses.replace(link, remoteproc=boots)


def test_without_the_frame_the_emulated_board_is_refused() -> None:
    made = proposed(from_blob(dtc(VIRT.replace("gic-v2m-frame", "gic-v3-its")), "base"))
    assert (made.text, made.links) == ("", ())
    assert made.refused == {"rpu0": "the tree has no arm,gic-v2m-frame with 0x8020040"}


def test_what_the_running_kernel_says_is_used() -> None:
    nodes: Nodes = {**mu(0x30AA0000, 7), "/x@1": {"compatible": "vendor,r", "mboxes": (7, 0, 1)}}
    running = Running((Region(0x40000000, 0x20000000),), (), {"/x@1": "remoteproc0 (x, offline)"})
    made = proposed(board("vendor,chip", nodes), running)
    (link,) = profile(made).links
    assert link.memory.end <= 0x60000000
    assert "Found: remoteproc0 (x, offline) of the running kernel, /x@1." in made.text


@pytest.mark.parametrize(
    ("soc", "nodes", "why"),
    [
        ("fsl,imx8mm", {}, "the tree has no mailbox at 0x30aa0000"),
        (
            "fsl,imx8mm",
            mu(0x30AA0000, 7, status="reserved"),
            "/mailbox@30aa0000 has the status 'reserved': it is other firmware's",
        ),
        (
            "fsl,imx8mm",
            mu(0x30AA0000, 7, compatible="vendor,mailbox"),
            "/mailbox@30aa0000 (vendor,mailbox) is not known to the kernel module, or its channels "
            "are not",
        ),
        (
            "fsl,imx8mm",
            {
                **mu(0x30AA0000, 7),
                "/reserved-memory": {"#address-cells": (1,), "#size-cells": (1,), "ranges": None},
                "/reserved-memory/all": {"reg": (0x40000000, 0x40000000)},
            },
            "there is no hole of 0x1000000 bytes in the RAM that the core reaches, 0x40000000 to "
            "0x80000000",
        ),
        # What nothing looks for is found by the checks.
        (
            "fsl,imx8mm",
            {**mu(0x30AA0000, 7), "/rsl-mbox-m4": {}},
            "node: it has /rsl-mbox-m4 already, which is not the overlay's: choose another name "
            "for the link",
        ),
    ],
)
def test_a_remote_without_a_link_has_a_reason(soc: str, nodes: Nodes, why: str) -> None:
    made = proposed(board(soc, nodes))
    assert made == Proposal("", (), {"m4": why})
    assert made.refusals() == [f"no link for m4: {why}"]


def test_one_reason_for_many_is_said_once() -> None:
    nodes: Nodes = {f"/pru@{n}": {"compatible": "ti,am642-pru"} for n in range(3)}
    made = proposed(board("fsl,imx8mm", {**mu(0x30AA0000, 7), **nodes}))
    assert made.links == ("m4",)
    (line,) = made.refusals()
    assert line.startswith("no link for pru_0, pru_1, pru_2: a PRU has no mailbox")
    assert f"# N{line[1:]}." in comments(made)


@pytest.mark.parametrize(
    ("soc", "why"),
    [
        ("fsl,imx91", "all cores of this SoC are Linux's"),
        ("vendor,chip", "knows no remote: it is for vendor,board, vendor,chip"),
    ],
)
def test_a_tree_without_remotes_is_refused(soc: str, why: str) -> None:
    with pytest.raises(RslError, match=why) as caught:
        proposed(board(soc, {}))
    assert caught.value.hint


# Whatever a tree has, a proposal is accepted, or each remote has a reason.

NAMES = sorted({name for soc in socs.SOCS for name in soc.compatibles} | {"vendor,chip"})
STATUS = st.sampled_from(["okay", "disabled", "reserved", "fail"])
SELDOM = st.sampled_from([False, False, False, True])
REGIONS = ((0x80000000, 0x30000000), (0x90000000, 0x8000000), (0xAC000000, 0x1000000))
SIZES = st.sampled_from([(), (0x1000000,), (0x2FF00000,), (0, 0x100000)])
CELLS = st.lists(st.integers(0, 9) | st.integers(0, 2**32 - 1), max_size=8)
PHANDLES = (1, 2, 3, 4, 5)
CONTROLLERS = (
    *("fsl,imx6sx-mu", "fsl,imx93-mu-s4", "st,stm32mp1-ipcc", "ti,am64-mailbox", "arm,mhuv3"),
    *("xlnx,zynqmp-ipi-mailbox", "ti,am654-secure-proxy", "vendor,mailbox", "arm,mhu-doorbell"),
)
REMOTES = (*remoteproc.BINDINGS, "ti,am642-pru", "ti,hsm-m4fss", "fsl,imx8mp-hifi4", "ti,dra7-ipu")


@st.composite
def controllers(draw: st.DrawFn, soc: str, address: int, phandle: int) -> dict[str, bytes]:
    made = {
        "fsl": mu(address, phandle),
        "ti,": cluster(address, phandle),
        "st,": mu(address, phandle, compatible="st,stm32mp1-ipcc", **{"#mbox-cells": (1,)}),
    }.get(soc[:3], mu(address, phandle))
    ((_, given),) = made.items()
    odd: dict[str, st.SearchStrategy[Value]] = {
        "compatible": st.sampled_from(CONTROLLERS),
        "#mbox-cells": st.tuples(st.integers(0, 3)),
        "interrupts": CELLS,
        "ti,mbox-num-fifos": st.tuples(st.integers(0, 20)),
        "ti,mbox-num-users": st.binary(max_size=12),
        "status": STATUS,
    }
    changes = draw(st.sets(st.sampled_from(sorted(odd)), max_size=2)) if draw(SELDOM) else ()
    return properties({**given, **{key: draw(odd[key]) for key in sorted(changes)}})


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    soc = draw(st.sampled_from(NAMES))
    ram: st.SearchStrategy[Value] = st.sampled_from(
        [(0x40000000, 0x80000000), (0x80000000, 0x80000000), (0x80000000, 0), None, (0, 0x2000000)]
    )
    tree = board(soc, {}, ram=draw(ram))
    known = socs.find([soc])
    places = [row.by.address for row in known.remotes if isinstance(row.by, At)] if known else []
    for phandle, address in enumerate(sorted({*places, 0x1000})[:4], 2):
        tree.nodes[f"/mailbox@{address:x}"] = draw(controllers(soc, address, phandle))
        if draw(SELDOM):
            sub = {"ti,mbox-tx": tuple(draw(CELLS)), "ti,mbox-rx": tuple(draw(CELLS))}
            tree.nodes[f"/mailbox@{address:x}/mbox"] = {k: raw(v) for k, v in sub.items()}
    units = [row.unit for row in known.remotes if row.unit is not None] if known else []
    for n in range(draw(st.integers(0, 3))):
        unit = draw(st.sampled_from([*units, 0]))
        first = draw(st.sampled_from(PHANDLES))
        tree.nodes[f"/c{n}"] = {"xlnx,cluster-mode": raw((draw(st.integers(0, 2)),))}
        tree.nodes[f"/c{n}/remote@{unit:x}"] = {
            "compatible": raw(draw(st.sampled_from(REMOTES))),
            "mboxes": raw((first, *draw(CELLS))),
            "memory-region": raw(draw(CELLS)),
            "status": raw(draw(STATUS)),
        }
    cells: dict[str, Value] = {"#address-cells": (1,), "#size-cells": (1,), "ranges": None}
    tree.nodes["/reserved-memory"] = {key: raw(value) for key, value in cells.items()}
    for n in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from(["reg", "alloc-ranges"]))
        region = draw(CELLS if draw(SELDOM) else st.sampled_from(REGIONS))
        tree.nodes[f"/reserved-memory/r{n}"] = {key: raw(region), "size": raw(draw(SIZES))}
    return tree


@given(trees())
def test_any_tree_gives_an_accepted_profile_or_reasons(tree: Tree) -> None:
    known = {each.name for each in remotes.find(tree)}
    try:
        made = proposed(tree)
    except RslError as error:
        assert not known
        assert str(error)
        return
    assert {*made.links} ^ {*made.refused} == known
    assert all(made.refused.values())
    assert bool(made.text) == bool(made.links)
    if made.links:
        found = profile(made)
        assert tuple(link.name for link in found.links) == made.links
        overlay.for_base(found, "rsl", merged_links.without(tree))
        assert all(link.memory.size == SIZE for link in found.links)


def test_the_trees_above_get_links_of_every_kind() -> None:
    """The property above would hold if nothing got a link."""
    kinds = {type(link.by) for each in GIVEN for link in profile(proposed(each)).links}
    assert kinds == {Channels, Fifos, Ipi, Doorbell}
    assert RemoteSide(core="imx8mm-m4") in [profile(proposed(GIVEN[0])).links[0].remote]


GIVEN = (
    board("fsl,imx8mm", mu(0x30AA0000, 7)),
    board("ti,am625", cluster(0x29000000, 7)),
    board("xlnx,zynqmp", {}),
    board("xlnx,versal", {}),
)
