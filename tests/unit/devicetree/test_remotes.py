# SPDX-License-Identifier: BSD-3-Clause
"""The remotes that a tree knows."""

from __future__ import annotations

import pytest
from rslctl.devicetree import remotes
from rslctl.devicetree.remotes import Known
from rslctl.profile.socs import At

from tests.unit.devicetree.trees import Nodes, Value, board, cluster, mu

R5 = {"compatible": "xlnx,zynqmp-r5f"}


def r5s(name: str, **more: Value) -> Nodes:
    return {
        f"/{name}@ffe00000": {"compatible": "xlnx,zynqmp-r5fss", **more},
        f"/{name}@ffe00000/r5f@0": R5,
        f"/{name}@ffe00000/r5f@1": R5,
    }


def test_a_core_of_the_soc_is_known_without_a_node() -> None:
    (found,) = remotes.find(board("fsl,imx8mm", mu(0x30AA0000, 7)))
    assert found == Known("m4", "imx8mm-m4", At(0x30AA0000))


def test_its_node_tells_the_controller() -> None:
    nodes: Nodes = {
        **mu(0x30AB0000, 7),
        "/core-m4": {"compatible": "fsl,imx8mm-cm4", "mboxes": (7, 0, 1, 7, 1, 1)},
    }
    (found,) = remotes.find(board("fsl,imx8mm", nodes))
    assert (found.node, found.controllers) == ("/core-m4", ("/mailbox@30ab0000",))


def test_nodes_are_told_apart_by_their_unit_address() -> None:
    nodes: Nodes = {
        "/m4fss@5000000": {"compatible": "ti,am64-m4fss"},
        "/r5fss@78000000": {},
        "/r5fss@78000000/r5f@78000000": {"compatible": "ti,am62-r5f"},
        **cluster(0x29000000, 7),
    }
    found = remotes.find(board("ti,am625", nodes))
    assert [(each.name, each.node) for each in found] == [
        ("m4", "/m4fss@5000000"),
        ("wkup_r5fss0_core0", "/r5fss@78000000/r5f@78000000"),
    ]
    assert "device manager" in found[1].note


def test_of_a_clusters_modes_that_in_use_counts() -> None:
    idle = {"status": "disabled"}
    for first, second, wanted in (
        (idle, {}, "/remoteproc"),
        ({}, idle, "/remoteproc-split"),
        (idle, idle, "/remoteproc-split"),
    ):
        nodes = {**r5s("remoteproc-split", **first), **r5s("remoteproc", **second)}
        found = remotes.find(board("xlnx,zynqmp", nodes))
        # The other mode is no remote of its own.
        assert [(each.name, each.node) for each in found] == [
            (f"rpu{n}", f"{wanted}@ffe00000/r5f@{n}") for n in (0, 1)
        ]


def test_a_core_that_only_its_node_boots_needs_the_node() -> None:
    dsp: dict[str, Value] = {"compatible": "fsl,imx8mp-hifi4", "mboxes": (7, 2, 0)}
    for nodes, why in (
        ({}, "the tree has no node fsl,imx8mp-hifi4 or fsl,imx8mp-dsp that boots it"),
        (
            {"/dsp@3b6e8000": {**dsp, "status": "disabled"}},
            "/dsp@3b6e8000, which boots it, is disabled",
        ),
        ({"/dsp@3b6e8000": dsp}, ""),
    ):
        _, found = remotes.find(board("fsl,imx8mp", {**mu(0x30E60000, 7), **nodes}))
        assert (found.name, found.refused) == ("dsp", why)


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"compatible": "ti,am642-pru"}, "a PRU has no mailbox"),
        ({"compatible": "ti,hsm-m4fss", "status": "reserved"}, "that of TI's firmware"),
        ({"compatible": "ti,am64-m4fss"}, "/r@1 has no mboxes, and ti,am64-m4fss is not in"),
        (
            {"compatible": "ti,am64-m4fss", "mboxes": (7, 1), "status": "reserved"},
            "the status of /r@1 leaves it to other firmware",
        ),
        ({"compatible": "ti,am64-m4fss", "mboxes": (7, 1)}, ""),
    ],
)
def test_a_node_of_no_soc_is_known_by_its_compatible(node: dict[str, Value], why: str) -> None:
    (found,) = remotes.find(board("vendor,chip", {"/r@1": node, **cluster(0x2000, 7)}))
    assert (found.name, why in found.refused, bool(found.refused)) == ("r_1", True, bool(why))


def test_what_the_running_kernel_boots_is_known_whatever_it_is() -> None:
    nodes: Nodes = {"/x@1": {"compatible": "vendor,r", "mboxes": (7, 0, 0)}, **mu(0x1000, 7)}
    tree = board("vendor,chip", nodes)
    assert remotes.find(tree) == []
    (found,) = remotes.find(tree, {"/x@1"})
    assert found == Known("x_1", "", None, "/x@1", ("/mailbox@1000",))


def test_names_are_those_of_links_and_differ() -> None:
    """Two nodes of one name, one that begins with a figure, one that is too long."""
    paths = ["/a/pru@1", "/b/pru@1", "/0x@1", f"/{'long' * 20}@1"]
    nodes: Nodes = {path: {"compatible": "ti,am642-pru"} for path in paths}
    names = [each.name for each in remotes.find(board("vendor,chip", nodes))]
    assert len(set(names)) == len(paths)
    assert {"pru_1", "pru_1_2", "r0x_1"} < set(names)
    assert all(len(name) <= 31 for name in names)


def test_a_tree_without_remotes_has_none() -> None:
    assert remotes.find(board("fsl,imx91", mu(0x30AA0000, 7))) == []
    assert remotes.find(board("vendor,chip", mu(0x30AA0000, 7))) == []
