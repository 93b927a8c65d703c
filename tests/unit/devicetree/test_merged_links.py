# SPDX-License-Identifier: BSD-3-Clause
"""The links that a tree has already."""

from __future__ import annotations

import pytest
from rslctl.devicetree import merged_links, overlay, tree
from rslctl.profile import reader
from rslctl.profile.model import Transport
from rslctl.region import Region

from tests.unit.devicetree import bases
from tests.unit.devicetree.support import BASE, dtc, merged_with


def test_a_merged_doorbell_is_found_and_taken_out() -> None:
    base = dtc(BASE)
    merged = tree.from_blob(merged_with(base), "merged")
    assert merged_links.find(merged) == {"rpu0": Region(0x70000000, 0x1000000)}
    without = merged_links.without(merged)
    assert merged_links.find(without) == {}
    left = without.nodes.keys() - tree.from_blob(base, "base").nodes.keys()
    # The memory of the remote's program stays.
    assert left - {"/__symbols__"} == {"/reserved-memory", "/reserved-memory/firmware@50000000"}


@pytest.mark.parametrize("by", [bases.CHANNELS, bases.FIFOS])
def test_a_merged_mailbox_is_taken_out_whole(by: Transport) -> None:
    base = bases.Base()
    merged = bases.merged(bases.profile(by), base)
    assert merged_links.find(merged) == {"r0": bases.MEMORY}
    plain = tree.from_blob(base.blob(), "base")
    left = merged_links.without(merged).nodes.keys() - plain.nodes.keys()
    assert left <= {"/__symbols__", "/reserved-memory"}


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
