# SPDX-License-Identifier: BSD-3-Clause
"""The R5 cluster in its modes, against what Linux's own tree has."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.devicetree import nodes, r5_cluster, tree
from rslctl.devicetree.nodes import Node
from rslctl.profile.cores import CORES

from tests.unit.devicetree.support import dtc
from tests.unit.programs import needs_dtc

#: The nodes of arch/arm64/boot/dts/xilinx/zynqmp.dtsi of Linux 6.12 without memory-region; power
#: domains are numbers, their provider has phandle 1. In lockstep the tree has a second core, too,
#: which the driver does not use.
LINUX = """/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;
remoteproc@ffe00000 { compatible = "xlnx,zynqmp-r5fss"; status = "okay";
 xlnx,cluster-mode = <1>; xlnx,tcm-mode = <1>; #address-cells = <2>; #size-cells = <2>;
 ranges = <0x0 0x0 0x0 0xffe00000 0x0 0x10000>, <0x0 0x20000 0x0 0xffe20000 0x0 0x10000>,
  <0x0 0x10000 0x0 0xffe10000 0x0 0x10000>, <0x0 0x30000 0x0 0xffe30000 0x0 0x10000>;
 r5f@0 { compatible = "xlnx,zynqmp-r5f"; reg = <0x0 0x0 0x0 0x10000>, <0x0 0x20000 0x0 0x10000>,
   <0x0 0x10000 0x0 0x10000>, <0x0 0x30000 0x0 0x10000>;
  reg-names = "atcm0", "btcm0", "atcm1", "btcm1";
  power-domains = <1 7>, <1 15>, <1 16>, <1 17>, <1 18>; }; };
remoteproc-split@ffe00000 { compatible = "xlnx,zynqmp-r5fss"; status = "okay";
 xlnx,cluster-mode = <0>; xlnx,tcm-mode = <0>; #address-cells = <2>; #size-cells = <2>;
 ranges = <0x0 0x0 0x0 0xffe00000 0x0 0x10000>, <0x0 0x20000 0x0 0xffe20000 0x0 0x10000>,
  <0x1 0x0 0x0 0xffe90000 0x0 0x10000>, <0x1 0x20000 0x0 0xffeb0000 0x0 0x10000>;
 r5f@0 { compatible = "xlnx,zynqmp-r5f"; reg = <0x0 0x0 0x0 0x10000>, <0x0 0x20000 0x0 0x10000>;
  reg-names = "atcm0", "btcm0"; power-domains = <1 7>, <1 15>, <1 16>; };
 r5f@1 { compatible = "xlnx,zynqmp-r5f"; reg = <0x1 0x0 0x0 0x10000>, <0x1 0x20000 0x0 0x10000>;
  reg-names = "atcm0", "btcm0"; power-domains = <1 8>, <1 17>, <1 18>; }; }; };
"""


def blob(mode: str) -> tree.Tree:
    """The cluster in a mode as a tree of its own; the power domains' phandle is 1."""
    shape = r5_cluster.CLUSTERS[mode]
    whole = shape.node(shape.name, "okay", {})
    cores = tuple(
        dataclasses.replace(each, properties=shape.core(number, 1))
        for number, each in zip(shape.cores, whole.children, strict=True)
    )
    cells = (("#address-cells", (2,)), ("#size-cells", (2,)))
    root = Node("", cells, (dataclasses.replace(whole, children=cores),))
    return tree.from_blob(nodes.blob_of(root), mode)


@needs_dtc
@pytest.mark.parametrize("mode", r5_cluster.CLUSTERS)
def test_a_cluster_is_as_linux_has_it(mode: str) -> None:
    linux, own = tree.from_blob(dtc(LINUX, "-q"), "linux"), blob(mode)
    name = f"/{r5_cluster.CLUSTERS[mode].name}"
    below = [path for path in linux.nodes if path.startswith(name)]
    assert below == [path for path in own.nodes if path != "/"]
    for path in below:
        assert own.nodes[path] == linux.nodes[path]


@pytest.mark.parametrize("mode", r5_cluster.CLUSTERS)
def test_every_bank_is_where_the_core_has_it(mode: str) -> None:
    own = blob(mode)
    for name, number in r5_cluster.NUMBERS.items():
        path = f"/{r5_cluster.CLUSTERS[mode].name}/r5f@{number}"
        if path in own:
            taken = [each.base for each in own.regions(path)]
            known = [each.linux for each in CORES[name].ranges if each.size == 0x10000]
            assert set(known) <= set(taken)
