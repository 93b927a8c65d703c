# SPDX-License-Identifier: BSD-3-Clause
"""The links that a tree has already."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.devicetree import merged_links, overlay, tree
from rslctl.profile import model, reader
from rslctl.profile.model import NodeRef, Transport
from rslctl.region import Region

from tests.unit.devicetree import bases, trees
from tests.unit.devicetree.support import BASE, dtc, merged_with
from tests.unit.devicetree.trees import Value, board, cluster

DSP = "/dsp"
POOL = Region(0x48000000, 0x100000)


def test_a_merged_doorbell_is_found_and_taken_out() -> None:
    base = dtc(BASE)
    merged = tree.from_blob(merged_with(base), "merged")
    found = merged_links.find(merged)
    assert {name: each.memory for name, each in found.items()} == {
        "rpu0": Region(0x70000000, 0x1000000)
    }
    assert (found["rpu0"].pool, found["rpu0"].controllers) == (None, frozenset())
    without = merged_links.without(merged)
    assert merged_links.find(without) == {}
    left = without.nodes.keys() - tree.from_blob(base, "base").nodes.keys()
    # The memory of the remote's program stays.
    assert left - {"/__symbols__"} == {"/reserved-memory", "/reserved-memory/firmware@50000000"}


@pytest.mark.parametrize("by", [bases.CHANNELS, bases.FIFOS])
def test_a_merged_mailbox_is_taken_out_whole(by: Transport) -> None:
    base = bases.Base()
    merged = bases.merged(bases.profile(by), base)
    (found,) = merged_links.find(merged).values()
    assert found.memory == bases.MEMORY
    assert bases.MU in found.controllers or bases.CLUSTER in found.controllers
    plain = tree.from_blob(base.blob(), "base")
    left = merged_links.without(merged).nodes.keys() - plain.nodes.keys()
    assert left <= {"/__symbols__", "/reserved-memory"}


@pytest.mark.parametrize("listed", [{}, {"memory-region": (5,), "memory-region-names": "own"}])
def test_the_node_of_the_remote_lists_what_it_listed_before(listed: dict[str, Value]) -> None:
    nodes = {
        **cluster(0x29060000, 7),
        "/reserved-memory": {"#address-cells": (1,), "#size-cells": (1,), "ranges": None},
        "/reserved-memory/own@42000000": {"reg": (0x42000000, 0x1000), "phandle": (5,)},
        DSP: {"compatible": "ti,j721e-c71-dsp", "status": "disabled", **listed},
    }
    base = board("ti,am642", nodes)
    core = model.Remoteproc(
        NodeRef(paths=(DSP,)), "", "daemon", "", dma_pool=None if listed else POOL
    )
    by = model.Fifos(NodeRef(paths=("/mailbox@29060000",)), 8, 9, 2, 8)
    made = bases.profile(by, cells=(1, 1))
    link = dataclasses.replace(made.links[0], remoteproc=core)
    made = dataclasses.replace(made, links=(link,), interrupt_parent=None)
    blob = trees.blob(base)
    fitted = overlay.for_base(made, "rsl", tree.from_blob(blob, "base"))
    merged = tree.from_blob(overlay.merge(fitted, blob), "merged")
    assert merged_links.find(merged)["r0"].pool == (None if listed else POOL)
    assert len(merged.cells(DSP, "memory-region")) == 2
    left = merged_links.without(merged)
    before = {**base.nodes[DSP], "status": b"okay\0"}
    assert left.nodes[DSP] == before
    overlay.for_base(made, "rsl", left)


def test_the_agents_of_a_zynqmp_are_taken_out_too() -> None:
    made = bases.profile(bases.IPI)
    merged = bases.merged(made, bases.Base())
    assert any(path.startswith("/zynqmp-ipi-r0/mailbox@") for path in merged.nodes)
    assert not any("ipi" in path for path in merged_links.without(merged).nodes)
    overlay.for_base(made, "rsl", merged_links.without(merged))


def test_a_tree_without_links_is_left_as_it_is() -> None:
    plain = tree.from_blob(dtc(BASE), "base")
    assert merged_links.find(plain) == {}
    assert merged_links.without(plain) == plain
    overlay.for_base(reader.load("qemu-virt"), "rsl", merged_links.without(plain))
