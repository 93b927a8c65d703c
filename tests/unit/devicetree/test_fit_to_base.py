# SPDX-License-Identifier: BSD-3-Clause
"""Overlays fitted to bases of all kinds: what is accepted merges and reads back as asked."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from rslctl.devicetree import fit_to_base, mailbox_styles, overlay, tree
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Ref
from rslctl.devicetree.tree import Tree
from rslctl.errors import SeveralError
from rslctl.profile import model, zynqmp
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.unit.devicetree.bases import (
    CHANNELS,
    CLUSTER,
    DOORBELL,
    FIFOS,
    GIC,
    IPI,
    MU,
    Base,
    merged,
    profile,
)
from tests.unit.programs import needs_dtc

#: The checks, as docs/reference/overlay.md lists them.
CHECKS = {
    *("agent", "cells", "channel", "compatible", "interrupt", "label", "node", "overlap"),
    *("phandle", "ram", "register", "zynqmp"),
}


def reads_back(made: model.Board, result: Tree) -> None:
    """Check that a merged tree says what the profile asked for."""
    assert overlay.unlike(made, result) == []
    for link in made.links:
        place = f"/reserved-memory/memory@{link.memory.base:x}"
        assert result.regions(place) == [link.memory]
        assert "no-map" in result.nodes[place]
        assert result.regions(f"/shmem@{link.memory.base:x}") == [link.memory]
        client = next(path for path in result.nodes if result.texts(path, "label") == [link.name])
        (number,) = result.cells(client, "memory-region")
        assert result.phandles[number] == place
        by = link.by
        if isinstance(by, model.Doorbell):
            spis = [each.cells[1] for each in result.interrupts(client)]
            assert (spis, result.interrupts(client)[0].controller) == (list(by.spis), GIC)
            assert result.cells(client, "rsl,kick-values") == by.kick_values
            continue
        channels = result.specifiers(client, "mboxes", "#mbox-cells")
        if isinstance(by, model.Channels):
            pairs = zip(by.tx, by.rx, strict=True)
            asked = [each for pair in pairs for each in (pair[:1] if by.tx == by.rx else pair)]
            assert channels == [(MU, each) for each in asked]
        elif isinstance(by, model.Fifos):
            ((controller, (sub_node,)),) = channels
            path = result.phandles[sub_node]
            assert (controller, tree.parent(path)) == (CLUSTER, CLUSTER)
            assert result.cells(path, "ti,mbox-tx") == (by.tx, 0, by.user)
            assert result.cells(path, "ti,mbox-rx") == (by.rx, 0, by.user)
            assert result.enabled(CLUSTER)
        else:
            mailbox = channels[0][0]
            above = tree.parent(mailbox)
            assert above == f"/zynqmp-ipi-{link.name}"
            assert channels == [(mailbox, (0,)), (mailbox, (1,))]
            assert result.cells(above, "xlnx,ipi-id") == (by.agent,)
            assert result.cells(mailbox, "xlnx,ipi-id") == (by.remote,)
            assert result.interrupts(above)[0].cells[1] == zynqmp.AGENTS[by.agent].spi


@needs_dtc
@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("cells", [(2, 2), (1, 1), (2, 1)])
def test_every_transport_fits_a_base_with_and_without_labels_and_phandles(
    symbols: bool, used: bool, cells: tuple[int, int]
) -> None:
    made = profile(CHANNELS, FIFOS, DOORBELL, IPI)
    reads_back(made, merged(made, Base(cells, symbols, used)))


pages = st.integers(0, 0x8F000).map(lambda page: page << 12)
regions = st.builds(
    Region, pages, st.sampled_from([1, 16, 256, 4096]).map(lambda count: count << 12)
)
cell = st.integers(0, 7)
pairs = st.lists(st.tuples(cell, cell), min_size=2, max_size=8, unique=True)
channels = pairs.map(
    lambda each: model.Channels(
        NodeRef("mu", (MU,)), tuple(each[0 : len(each) // 2 * 2 : 2]), tuple(each[1::2])
    )
)
fifos = st.builds(
    lambda both, user, vectors: model.Fifos(
        NodeRef("cluster", (CLUSTER,)), both[0], both[1], user, vectors
    ),
    st.lists(st.integers(0, 15), min_size=2, max_size=2, unique=True),
    st.sampled_from((2, 2, 2, 0)),
    st.integers(0, mailbox_styles.VALUE_VECTORS),
)
doorbells = st.integers(1, 4).flatmap(
    lambda count: st.builds(
        lambda register, values, spis, trigger: model.Doorbell(
            register * 4, tuple(values), tuple(spis), trigger
        ),
        st.integers(0, 2**20),
        st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count),
        st.lists(st.integers(0, 987), min_size=count, max_size=count, unique=True),
        st.sampled_from(sorted(model.TRIGGERS)),
    )
)
ipis = st.builds(model.Ipi, st.sampled_from(zynqmp.LOCAL), st.sampled_from((1, 2)))


@st.composite
def boards(draw: st.DrawFn) -> model.Board:
    transports = draw(st.lists(channels | fifos | doorbells | ipis, min_size=1, max_size=3))
    made = profile(*transports)
    links = tuple(
        dataclasses.replace(link, memory=draw(regions), firmware=draw(st.none() | regions))
        for link in made.links
    )
    return dataclasses.replace(made, links=links)


bases = st.builds(
    Base,
    cells=st.sampled_from([(2, 2), (1, 1), (2, 1)]),
    symbols=st.booleans(),
    used=st.booleans(),
    disabled=st.booleans(),
    ram=st.sampled_from([Region(0, 0x80000000), Region(0x20000000, 0x60000000)]),
    taken=st.none() | regions,
    spi=st.none() | st.integers(0, 100),
)


@needs_dtc
@settings(max_examples=60)
@given(boards(), bases)
def test_what_is_accepted_reads_back_and_what_is_refused_is_refused_by_a_check(
    made: model.Board, base: Base
) -> None:
    try:
        result = merged(made, base)
    except SeveralError as error:
        assert {message.split(": ")[1] for message in error.messages} <= CHECKS
    else:
        event("accepted")
        reads_back(made, result)


MADE = Overlay("", (Fragment(NodeRef("mu", (MU,)), Node("", (("p", (NodeRef("mu", (MU,)), 3)),))),))


def fitted(symbols: dict[str, bytes], controller: dict[str, bytes]) -> Overlay:
    """The overlay fitted to a base whose controller has these properties."""
    nodes = {"/": {}, "/__symbols__": symbols, MU: controller}
    return fit_to_base.to_base(MADE, Tree("base", nodes))


def test_a_node_that_has_label_and_phandle_is_referred_to_by_its_label() -> None:
    made = fitted({"mu": f"{MU}\0".encode()}, {"phandle": bytes([0, 0, 0, 7])})
    assert made.fragments == (Fragment(NodeRef("mu"), Node("", (("p", (NodeRef("mu"), 3)),))),)


def test_a_node_without_a_label_is_referred_to_by_its_phandle() -> None:
    made = fitted({}, {"phandle": bytes([0, 0, 0, 7])})
    assert made.fragments == (Fragment(NodeRef("", (MU,)), Node("", (("p", (7, 3)),))),)


@pytest.mark.parametrize("symbols", [{}, {"mu": f"{MU}\0".encode()}])
def test_a_node_that_has_no_phandle_is_given_one(symbols: dict[str, bytes]) -> None:
    made = fitted(symbols, {})
    body = Node("", (("p", (Ref("_base0"), 3)),), label="_base0")
    assert made.fragments == (Fragment(NodeRef("", (MU,)), body),)
