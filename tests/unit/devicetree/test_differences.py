# SPDX-License-Identifier: BSD-3-Clause
"""In what a running machine differs from its profile."""

from __future__ import annotations

import pytest
from rslctl.devicetree import differences, overlay
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Value
from rslctl.devicetree.tree import Tree
from rslctl.profile.model import NodeRef

from tests.unit.devicetree.bases import CHANNELS, CLUSTER, FIFOS, IPI, Base, merged, profile
from tests.unit.programs import needs_dtc


@needs_dtc
def test_a_machine_that_runs_with_something_else_is_told_in_what_it_differs() -> None:
    made = profile(CHANNELS, FIFOS, IPI)
    running = merged(made, Base())
    running.nodes["/rsl-mbox-r0"]["mboxes"] = bytes(4) + running.nodes["/rsl-mbox-r0"]["mboxes"][4:]
    running.nodes["/zynqmp-ipi-r2"]["xlnx,ipi-id"] = (8).to_bytes(4, "big")
    del running.nodes[f"{CLUSTER}/mbox-rsl-r1"]
    found = overlay.unlike(made, running)
    assert {each.split(":")[0] for each in found} == {
        *("/zynqmp-ipi-r2", "/rsl-mbox-r0", "/rsl-mbox-r1", f"{CLUSTER}/mbox-rsl-r1")
    }
    assert "/zynqmp-ipi-r2: xlnx,ipi-id is <8>, the profile says <7>" in found


def difference(value: Value, has: bytes | None) -> list[str]:
    """What is said of a node that is to have *value*, and has something else or nothing."""
    wanted = Overlay(
        "", (Fragment(NodeRef("", ("/",)), Node("", (), (Node("n", (("p", value),)),))),)
    )
    running = Tree("running", {"/": {}, "/n": {} if has is None else {"p": has}})
    return differences.find(wanted, running)


@pytest.mark.parametrize(
    ("value", "has", "said"),
    [
        (None, None, "/n: p is missing, the profile says present"),
        ("a", b"b\0", '/n: p is "b", the profile says "a"'),
        (("a", "b"), b"a\0", '/n: p is "a", the profile says "a", "b"'),
        ((1, 2), b"\0\0\0\1", "/n: p is <1>, the profile says <1 2>"),
        ((1,), b"", "/n: p is b'', the profile says <1>"),
        (
            (0x1000,),
            b"\0\0\0\1\0",
            "/n: p is b'\\x00\\x00\\x00\\x01\\x00', the profile says <0x1000>",
        ),
    ],
)
def test_a_property_is_shown_in_the_form_that_it_should_have(
    value: Value, has: bytes | None, said: str
) -> None:
    assert difference(value, has) == [said]


@pytest.mark.parametrize(("value", "has"), [(None, b""), ("a", b"a\0"), ((1,), b"\0\0\0\1")])
def test_what_is_as_it_should_be_is_no_difference(value: Value, has: bytes) -> None:
    assert difference(value, has) == []


def test_a_node_that_is_missing_is_named_without_what_is_below_it() -> None:
    below = Node("a", (), (Node("b", (("p", "x"),)),))
    wanted = Overlay("", (Fragment(NodeRef("gic", ("/gic",)), Node("", (), (below,))),))
    assert differences.find(wanted, Tree("", {"/": {}, "/gic": {}})) == ["/gic/a: is missing"]
    assert differences.find(wanted, Tree("", {"/": {}})) == ["&gic /gic: is missing"]
