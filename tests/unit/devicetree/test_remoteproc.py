# SPDX-License-Identifier: BSD-3-Clause
"""The remotes' own nodes: regions, mode and status, for each binding and for each shape of tree."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from rslctl.devicetree import differences, overlay, remoteproc, tree
from rslctl.devicetree.nodes import Ref
from rslctl.devicetree.tree import Tree
from rslctl.errors import SeveralError
from rslctl.profile import model, reader
from rslctl.profile.cores import BITS_32
from rslctl.profile.model import NodeRef, Remoteproc
from rslctl.region import Region
from rslctl.setup import checks

from tests import elf
from tests.unit.devicetree.bases import CHANNELS, Base, merged, problems, profile
from tests.unit.devicetree.support import dtc
from tests.unit.devicetree.test_r5_cluster import LINUX
from tests.unit.profile.support import write
from tests.unit.programs import needs_dtc

SPLIT, LOCKSTEP = "/remoteproc-split@ffe00000", "/remoteproc@ffe00000"
#: A ZCU102 without an R5 cluster, as Linux 6.1 has it; "// more" is where a test adds to it.
ZCU102 = """/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;
 compatible = "xlnx,zynqmp-zcu102-rev1.0";
 memory@0 { device_type = "memory"; reg = <0 0 0 0x7ff00000>; };
 axi { #address-cells = <2>; #size-cells = <2>; ranges; gic: interrupt-controller@f9010000 {
  compatible = "arm,gic-400"; reg = <0 0xf9010000 0 0x10000>; interrupt-controller;
  #interrupt-cells = <3>;
  phandle = <2>; }; };
 firmware { zynqmp-firmware { #power-domain-cells = <1>; phandle = <1>; }; };
 // more
};
"""
#: What Linux 6.12 has more, with the lockstep cluster in use, as the K26's tree has it.
CLUSTERS = (
    LINUX.split("#size-cells = <2>;", 1)[1]
    .rstrip()[: -len("};")]
    .replace('status = "okay"', 'status = "disabled"')
    .replace('status = "disabled"', 'status = "okay"', 1)
    .replace('"xlnx,zynqmp-r5f";', '"xlnx,zynqmp-r5f"; memory-region = <3>;')
)
FIRMWARE = (
    "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;"
    " memory@3ed00000 { no-map; reg = <0 0x3ed00000 0 0x40000>; phandle = <3>; }; };"
)


def zcu102(more: str) -> bytes:
    return dtc(ZCU102.replace("// more", more), "-q")


def result(base: bytes, board: model.Board | None = None) -> Tree:
    board = board or reader.load("zcu102")
    made = overlay.for_base(board, "rsl", tree.from_blob(base, "base"))
    return tree.from_blob(overlay.merge(made, base), "merged")


def with_remoteproc(board: model.Board, **more: object) -> model.Board:
    (link,) = board.links
    assert link.remoteproc
    made = dataclasses.replace(link.remoteproc, **more)  # type: ignore[arg-type]
    return dataclasses.replace(board, links=(dataclasses.replace(link, remoteproc=made),))


def listed(merged_tree: Tree, node: str) -> list[Region]:
    found = []
    for number in merged_tree.cells(node, "memory-region"):
        found += merged_tree.regions(merged_tree.phandles[number])
    return found


OWN = [Region(0x38000000, 0x600000), Region(0x37000000, 0x1000000)]


@needs_dtc
@pytest.mark.parametrize(
    ("more", "kept"),
    [
        pytest.param("", [], id="no cluster"),
        pytest.param(FIRMWARE + CLUSTERS, [Region(0x3ED00000, 0x40000)], id="two clusters"),
        pytest.param(
            FIRMWARE + CLUSTERS.partition("remoteproc-split")[0],
            [Region(0x3ED00000, 0x40000)],
            id="one cluster in lockstep",
        ),
        pytest.param(
            FIRMWARE
            + 'rf5ss@ff9a0000 { compatible = "xlnx,zynqmp-r5-remoteproc"; xlnx,cluster-mode = <1>;'
            " reg = <0 0xff9a0000 0 0x10000>; #address-cells = <2>; #size-cells = <2>; ranges;"
            ' r5f_0 { compatible = "xilinx,r5f"; memory-region = <3>; power-domain = <1 7>; }; };',
            [Region(0x3ED00000, 0x40000)],
            id="AMD's own kernel",
        ),
    ],
)
def test_an_r5_gets_its_mode_and_all_that_the_program_is_loaded_into(
    more: str, kept: list[Region]
) -> None:
    board = reader.load("zcu102")
    (link,) = board.links
    assert link.remoteproc
    made = result(zcu102(more))
    core = made.find(link.remoteproc.node)
    assert core
    assert made.enabled(core)
    assert made.cells(tree.parent(core), "xlnx,cluster-mode") == (0,)
    assert listed(made, core) == [*kept, *OWN]
    # Every cluster but the link's is off: they are one piece of hardware.
    for path in made.nodes:
        if path in (SPLIT, LOCKSTEP):
            assert made.idle(path) == (path != tree.parent(core))
    if "reg" in made.nodes[core]:
        carveouts = list(elf.zynqmp_carveouts(made, core))
        assert elf.refused(elf.made(elf.PUBLISHED), carveouts) == []
    assert checks.machine(board, made) == []


def test_the_kernel_refuses_the_published_program_without_its_regions() -> None:
    tcm, own = Region(0, 0x10000), Region(0x3ED00000, 0x40000)
    assert elf.refused(elf.made(elf.PUBLISHED), [tcm, own]) == [
        "bad phdr da 0x38000000 mem 0x8000",
        "bad phdr da 0x37001000 mem 0x8000",
    ]
    firmware = Region(0x38000000, 0x600000)
    assert elf.refused(elf.made(elf.PUBLISHED), [tcm, own, firmware]) == [
        "bad phdr da 0x37001000 mem 0x8000"
    ]


@needs_dtc
def test_a_tree_that_has_all_is_left_alone_and_one_that_has_not_is_told() -> None:
    board = reader.load("zcu102")
    made = result(zcu102(FIRMWARE + CLUSTERS))
    assert differences.find(overlay.build(board, base=made), made) == []
    paths = [each.target.paths for each in overlay.build(board, base=made).fragments]
    assert paths == [("/",)]
    made.nodes[f"{SPLIT}/r5f@0"]["memory-region"] = (3).to_bytes(4, "big")
    made.nodes[SPLIT]["status"] = b"disabled\0"
    (first, second) = differences.find(overlay.build(board, base=made), made)
    assert first == f'{SPLIT}: status is "disabled", the profile says "okay"'
    assert second.startswith(f"{SPLIT}/r5f@0: memory-region is <3>, the profile says <3 &rpu0_")


@needs_dtc
def test_lockstep_has_the_memory_of_both_cores() -> None:
    for more in (FIRMWARE + CLUSTERS, FIRMWARE + CLUSTERS.partition("remoteproc-split")[0], ""):
        made = result(zcu102(more), with_remoteproc(reader.load("zcu102"), mode="lockstep"))
        core = f"{SPLIT if SPLIT in made else LOCKSTEP}/r5f@0"
        assert made.cells(tree.parent(core), "xlnx,cluster-mode") == (1,)
        assert made.cells(tree.parent(core), "xlnx,tcm-mode") == (1,)
        assert made.texts(core, "reg-names") == ["atcm0", "btcm0", "atcm1", "btcm1"]
        assert [each.base for each in made.regions(core)] == [
            *(0xFFE00000, 0xFFE20000, 0xFFE10000, 0xFFE30000)
        ]


@needs_dtc
def test_both_cores_of_a_cluster_can_be_remotes(tmp_path: Path) -> None:
    two = """extends = "zcu102"
description = "two"
[[link]]
name = "rpu1"
memory = { base = 0x39000000, size = 0x100000 }
zynqmp-ipi = { agent = 8, remote = 2 }
remoteproc.node = "/remoteproc-split@ffe00000/r5f@1"
remoteproc.mode = "split"
remoteproc.regions = [{ base = 0x3a000000, size = 0x100000 }]
"""
    board = reader.load(str(write(tmp_path / "two.toml", two)))
    for more in ("", FIRMWARE + CLUSTERS):
        made = result(zcu102(more), board)
        assert listed(made, f"{SPLIT}/r5f@0")[-2:] == OWN
        assert listed(made, f"{SPLIT}/r5f@1")[-2:] == [
            Region(0x39000000, 0x100000),
            Region(0x3A000000, 0x100000),
        ]


# Other bindings

#: A bus with a remote, behind the base's own root; %s is the node of the remote.
BUS = """}; / { reserved-memory { pool: pool@48000000 { reg = <0x48000000 0x100000>; no-map; };
 code: code@49000000 { reg = <0x49000000 0x100000>; no-map; }; };
 bus { #address-cells = <1>; #size-cells = <1>; ranges;
 dma-ranges = <0 0x48000000 0x100000>, <0x10000000 0x50100000 0x100000>; %s };"""
REMOTE = "/bus/remote@100000"
FIRMWARE_AT = Region(0x50100000, 0x100000)


def remote(compatible: str, more: str = "") -> Base:
    node = f'remote@100000 {{ compatible = "{compatible}"; reg = <0x100000 0x1000>; {more} }};'
    return Base(cells=(1, 1), extra=BUS % node)


def booted(**more: object) -> model.Board:
    board = profile(CHANNELS, cells=(1, 1))
    made = Remoteproc(NodeRef(paths=(REMOTE,)), "", "daemon")
    made = dataclasses.replace(made, **more)  # type: ignore[arg-type]
    # The addresses of these tests are those of no real core.
    side = model.RemoteSide(ranges=BITS_32)
    link = dataclasses.replace(board.links[0], firmware=FIRMWARE_AT, remoteproc=made, remote=side)
    return dataclasses.replace(board, links=(link,))


def bases_of(merged_tree: Tree, node: str = REMOTE) -> list[int]:
    return [each.base for each in listed(merged_tree, node)]


BOTH = "memory-region = <&pool &code>;"


@needs_dtc
@pytest.mark.parametrize("compatible", remoteproc.BINDINGS)
def test_every_binding_keeps_the_regions_of_the_base_first(compatible: str) -> None:
    made = merged(booted(), remote(compatible, BOTH))
    found = bases_of(made)
    assert found[:3] == [0x48000000, 0x49000000, 0x50100000]
    # The M4's driver would refuse memory that its bus does not translate.
    shared = [] if compatible == "st,stm32mp1-m4" else [0x50000000]
    assert found[3:] == shared


@needs_dtc
def test_a_region_that_the_base_lists_is_not_listed_twice() -> None:
    board = booted()
    (link,) = board.links
    once = merged(board, remote("fsl,imx8mp-cm7"))
    assert bases_of(once) == [0x50100000, 0x50000000]
    assert differences.find(overlay.build(board, base=once), once) == []
    assert bases_of(merged(booted(regions=(Region(0x51000000, 0x1000),)), remote("any,other"))) == (
        []
    )
    assert link.remoteproc


@needs_dtc
def test_a_k3_core_has_its_pool_first() -> None:
    pool = Region(0x52000000, 0x100000)
    made = merged(booted(dma_pool=pool), remote("ti,am64-m4fss"))
    assert bases_of(made) == [pool.base, 0x50100000, 0x50000000]
    (first, *_) = made.cells(REMOTE, "memory-region")
    assert made.texts(made.phandles[first], "compatible") == ["shared-dma-pool"]
    assert problems(booted(), remote("ti,am64-m4fss")) == [
        f"remoteproc: r0: {REMOTE} needs a DMA pool as its first region: give one in "
        "remoteproc.dma-pool"
    ]
    assert problems(booted(dma_pool=pool), remote("ti,am64-m4fss", BOTH)) == [
        f"remoteproc: r0: {REMOTE} has regions, the first its DMA pool: leave "
        "remoteproc.dma-pool out"
    ]


@needs_dtc
def test_regions_with_names_keep_them() -> None:
    names = 'memory-region-names = "dma", "firmware";'
    made = merged(booted(), remote("ti,am64-r5f", BOTH + names))
    assert len(bases_of(made)) == 4
    assert made.texts(REMOTE, "memory-region-names") == [
        *("dma", "firmware", "r0_firmware", "r0_memory")
    ]
    assert "memory-region-names" not in merged(booted(), remote("ti,am64-r5f", BOTH)).nodes[REMOTE]


@needs_dtc
def test_a_node_that_is_off_is_turned_on() -> None:
    made = merged(booted(), remote("fsl,imx93-cm33", f'status = "disabled"; {BOTH}'))
    assert made.enabled(REMOTE)


@needs_dtc
def test_the_mode_of_a_k3_cluster_is_a_property_of_its_own() -> None:
    made = merged(booted(mode="single-cpu"), remote("ti,am64-r5f", BOTH))
    assert made.cells("/bus", "ti,cluster-mode") == (2,)
    assert problems(booted(mode="lockstep"), remote("ti,am64-r5f", BOTH)) == [
        f"remoteproc: r0: {REMOTE} has no mode 'lockstep'; it has 'split', 'single-cpu'"
    ]
    assert problems(booted(mode="split"), remote("fsl,imx7d-cm4", BOTH)) == [
        f"remoteproc: r0: {REMOTE} has no mode 'split'; it has none"
    ]


@needs_dtc
def test_more_regions_than_the_binding_allows_are_refused() -> None:
    many = tuple(Region(0x52000000 + 0x1000 * n, 0x1000) for n in range(5))
    assert problems(booted(regions=many), remote("xlnx,zynqmp-r5f", BOTH)) == [
        f"remoteproc: r0: {REMOTE} would have 9 regions, its binding allows 8"
    ]
    made = merged(booted(regions=many[1:]), remote("xlnx,zynqmp-r5f", BOTH))
    assert len(bases_of(made)) == 8


@needs_dtc
def test_what_a_stm32s_bus_does_not_translate_is_no_place_for_a_program() -> None:
    board = booted()
    link = dataclasses.replace(board.links[0], firmware=Region(0x53000000, 0x1000))
    found = problems(dataclasses.replace(board, links=(link,)), remote("st,stm32mp1-m4", BOTH))
    assert found == [
        f"remoteproc: r0: {REMOTE} can load no program to firmware at 0x53000000, 0x1000 bytes, "
        "which is not in the dma-ranges of /bus"
    ]


@needs_dtc
def test_a_node_that_the_base_lacks_is_told_or_left_out() -> None:
    nowhere = booted(node=NodeRef("m4", ("/bus/remote@200000",)))
    assert problems(nowhere, remote("fsl,imx8mp-cm7")) == [
        "label: there is no node &m4 /bus/remote@200000"
    ]
    known = dataclasses.replace(nowhere.links[0], remote=model.RemoteSide(core="imx8mp-m7"))
    board = dataclasses.replace(nowhere, links=(known,))
    assert problems(board, remote("fsl,imx8mp-cm7")) == [
        f"label: there is no node &m4 /bus/remote@200000; near it: {REMOTE}"
    ]
    # A kernel that has no driver for it has no node of it either.
    base = remote("vendor,other")
    assert problems(board, base) == []
    assert merged(board, base)
    (text,) = remoteproc.absent(board, tree.from_blob(base.blob(), "base"))
    assert text == "r0: base has no node &m4 /bus/remote@200000"
    assert not list(remoteproc.absent(booted(), tree.from_blob(base.blob(), "base")))


@needs_dtc
def test_the_node_tells_the_core_that_the_profile_does_not() -> None:
    base = remote("fsl,imx7d-cm4", BOTH)
    board = booted()

    def with_core(side: model.RemoteSide | None) -> list[str]:
        link = dataclasses.replace(board.links[0], remote=side)
        return problems(dataclasses.replace(board, links=(link,)), base)

    assert with_core(None) == [
        f"remoteproc: r0: {REMOTE} is imx7d-m4, which does not reach {what}, 0x100000 bytes"
        for what in ("memory at 0x50000000", "firmware at 0x50100000")
    ]
    assert with_core(model.RemoteSide(ranges=BITS_32)) == []
    assert with_core(model.RemoteSide(core="k3-m4")) == [
        f"remoteproc: r0: {REMOTE} is imx7d-m4, the profile says core 'k3-m4'"
    ]


@needs_dtc
def test_two_links_of_one_core_are_in_one_list() -> None:
    board = booted()
    second = dataclasses.replace(
        profile(CHANNELS, CHANNELS).links[1],
        offers={"mailbox": dataclasses.replace(CHANNELS, tx=((2, 5),), rx=((3, 5),))},
        remoteproc=board.links[0].remoteproc,
    )
    two = dataclasses.replace(board, links=(*board.links, second))
    made = remoteproc.changes(
        two,
        {
            "r0": [("r0_memory", Region(0x50000000, 0x100000))],
            "r1": [("r1_memory", second.memory)],
        },
        tree.from_blob(remote("fsl,imx8mp-cm7").blob(), "base"),
    )
    (fragment,) = made[1]
    assert dict(fragment.body.properties)["memory-region"] == (
        Ref("r0_memory"),
        Ref("r1_memory"),
    )
    other = dataclasses.replace(second, remoteproc=booted(mode="split").links[0].remoteproc)
    with pytest.raises(SeveralError) as error:
        overlay.for_base(
            dataclasses.replace(
                two, links=(two.links[0], dataclasses.replace(other, memory=FIRMWARE_AT))
            ),
            "rsl",
            tree.from_blob(remote("ti,am64-r5f", BOTH).blob(), "base"),
        )
    assert any("has the same cluster in mode" in each for each in error.value.messages)


def test_without_a_base_a_node_is_changed_by_its_label() -> None:
    board = reader.load("am642-evm")
    (fragment,) = [
        each for each in overlay.build(board).fragments if each.target.label == "mcu_m4fss"
    ]
    assert [str(cell) for cell in dict(fragment.body.properties)["memory-region"] or ()][:2] == [
        "&mcu_m4fss_dma_memory_region",
        "&mcu_m4fss_memory_region",
    ]
    # The M4's memory is not what its driver takes as a region, so there is nothing to change.
    targets = [each.target for each in overlay.build(reader.load("stm32mp157c-dk2")).fragments]
    assert targets == [NodeRef(paths=("/",))]
    # Where the first has to be a pool and none is known, nothing is written.
    (link,) = board.links
    assert link.remoteproc
    bare = dataclasses.replace(
        link, remoteproc=dataclasses.replace(link.remoteproc, memory_region=())
    )
    built = overlay.build(dataclasses.replace(board, links=(bare,)))
    assert "mcu_m4fss" not in [each.target.label for each in built.fragments]
