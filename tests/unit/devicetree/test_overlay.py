# SPDX-License-Identifier: BSD-3-Clause
"""From a profile to its overlay, and from that to a merged tree."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from rslctl.devicetree import nodes, overlay, tree
from rslctl.profile import reader
from rslctl.profile.model import NodeRef
from rslctl.region import Region
from rslctl.setup import checks

from tests.command_line import Rslctl
from tests.unit.devicetree.bases import CHANNELS, DOORBELL, IPI, Base, merged, profile
from tests.unit.devicetree.support import BASE, dtc, merged_with, problems_on
from tests.unit.programs import needs_dtc


def test_the_original_daemon_gets_its_own_nodes(rslctl: Rslctl) -> None:
    made = overlay.build(reader.load("zcu102"), "user-mailbox")
    nodes = dict(made.nodes())
    assert [key for key, _ in nodes["/umb"].properties] == ["compatible", "mboxes", "mbox-names"]
    assert dict(nodes["/umb"].properties)["mbox-names"] == ("tx", "rx")
    (shmem,) = [node for path, node in nodes.items() if path.startswith("/shmem@")]
    assert [key for key, _ in shmem.properties] == ["compatible", "reg"]
    for name, message in (("qemu-virt", "one link over a mailbox"), ("imx8mp-evk", "one pair of")):
        status, out, err = rslctl("overlay", "--board", name, "--style", "user-mailbox")
        assert (status, out) == (1, "")
        assert message in err


@needs_dtc
def test_what_a_profile_says_of_an_unknown_controller_is_in_the_links_node() -> None:
    one = dataclasses.replace(CHANNELS, tx=((2, 0),), rx=((3, 0),))
    new = Base(extra='new { compatible = "vendor,new"; #mbox-cells = <2>; };')
    said = dataclasses.replace(
        one,
        controller=NodeRef("", ("/new",)),
        payload="buffer",
        tx_done="client",
        rx_ack=True,
    )
    for style, path in (("rsl", "/rsl-mbox-r0"), ("user-mailbox", "/umb")):
        node = merged(profile(said), new, style).nodes[path]
        assert node["rsl,payload"] == b"buffer\0"
        assert node["rsl,tx-done"] == b"client\0"
        assert node["rsl,rx-ack"] == b""
        plain = merged(profile(one), Base(), style).nodes[path]
        assert not {"rsl,payload", "rsl,tx-done", "rsl,rx-ack"} & set(plain)


@needs_dtc
def test_merged_into_a_base_every_reference_points_where_it_should(tmp_path: Path) -> None:
    merged_tree = tree.from_blob(merged_with(dtc(BASE)), "merged")
    assert merged_tree.cells("/reserved-memory/memory@70000000", "reg") == (
        *(0, 0x70000000),
        *(0, 0x1000000),
    )
    (number,) = merged_tree.cells("/rsl-mbox@8020040", "memory-region")
    assert merged_tree.phandles[number] == "/reserved-memory/memory@70000000"
    assert merged_tree.texts("/intc@8000000/v2m@8020000", "status") == ["disabled"]
    (tmp_path / "merged.dtb").write_bytes(merged_with(dtc(BASE)))
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", tmp_path / "merged.dtb"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@needs_dtc
def test_a_base_with_one_cell_each_gets_nodes_with_one_cell_each() -> None:
    one = """/dts-v1/; / {
        #address-cells = <1>; #size-cells = <1>; compatible = "linux,dummy-virt";
        interrupt-parent = <1>; memory@40000000 { device_type = "memory";
        reg = <0x40000000 0x40000000>; };
        intc@8000000 { compatible = "arm,gic-400";
        reg = <0x8000000 4>; #address-cells = <1>; #size-cells = <1>; ranges;
        phandle = <1>; #interrupt-cells = <3>; interrupt-controller;
        v2m@8020000 { reg = <0x8020000 4>; }; }; };"""
    made = tree.from_blob(merged_with(dtc(one)), "merged")
    assert made.cells("/reserved-memory/memory@70000000", "reg") == (0x70000000, 0x1000000)
    high = reader.load("qemu-virt").links[0]
    high = dataclasses.replace(high, memory=Region(1 << 32, 4096))
    found = problems_on(one, dataclasses.replace(reader.load("qemu-virt"), links=(high,)))
    assert any(each.startswith("cells: rpu0: memory at 0x100000000") for each in found)


def test_without_a_base_an_interrupt_has_the_cells_of_the_profile() -> None:
    bell = dataclasses.replace(DOORBELL, trigger="level-high")
    for cells, expected in ((1, (40, 41)), (3, (0, 40, 4, 0, 41, 4))):
        made = dataclasses.replace(profile(bell), interrupt_cells=cells)
        (node,) = [each for _, each in overlay.build(made).nodes() if "rsl-mbox" in each.name]
        assert dict(node.properties)["interrupts"] == expected


@pytest.mark.parametrize(
    ("path", "kernel"),
    [
        ("/usr/lib/linux-image-6.12.117+deb12-arm64/ti/x.dtb", "6.12.117+deb12-arm64"),
        ("/boot/dtbs/6.1.0-30-arm64/x.dtb", "6.1.0-30-arm64"),
        ("/boot/dtb-6.1.0-30-arm64", "6.1.0-30-arm64"),
        ("/usr/lib/modules/7.2.13+deb14-arm64/dtb/x.dtb", "7.2.13+deb14-arm64"),
        ("/boot/x.dtb", ""),
        ("/boot/dtbs/x.dtb", ""),
    ],
)
def test_the_directory_of_a_tree_tells_its_kernel(path: str, kernel: str) -> None:
    assert overlay.kernel_of(Path(path)) == kernel


@needs_dtc
def test_a_machine_is_known_by_whose_nodes_it_has() -> None:
    made = profile(IPI)
    for style, node in (("rsl", "/rsl-mbox-r0"), ("user-mailbox", "/umb")):
        running = merged(made, Base(), style)
        assert overlay.style_of(made, running) == style
        assert overlay.notification_path(made, made.links[0], style) == node
        assert checks.machine(made, running) == []
    running.nodes["/umb"]["mbox-names"] = b"rx\0tx\0"
    assert overlay.style_of(made, running) == "rsl"
    assert checks.machine(made, running)


@needs_dtc
@pytest.mark.parametrize("symbols", [False, True])
def test_a_later_overlay_can_refer_to_the_links_regions(tmp_path: Path, *, symbols: bool) -> None:
    base = Base(symbols=symbols).blob()
    made = overlay.for_base(profile(CHANNELS), "rsl", tree.from_blob(base, "base"))
    (tmp_path / "first.dtb").write_bytes(overlay.merge(made, base))
    later = "/dts-v1/; /plugin/; &{/} { user { memory-region = <&r0_memory>; }; };"
    (tmp_path / "later.dtbo").write_bytes(dtc(later, "-@"))
    names = [str(tmp_path / name) for name in ("first.dtb", "both.dtb", "later.dtbo")]
    subprocess.run(["fdtoverlay", "-i", names[0], "-o", names[1], names[2]], check=True)
    both = tree.from_blob((tmp_path / "both.dtb").read_bytes(), "both")
    (number,) = both.cells("/user", "memory-region")
    assert both.phandles[number] == "/reserved-memory/memory@50000000"
    assert both.labels["r0_memory"] == "/reserved-memory/memory@50000000"
    plain = nodes.to_blob(dataclasses.replace(made, symbols=False))
    assert "/__symbols__" not in tree.from_blob(plain, "for a running kernel")
