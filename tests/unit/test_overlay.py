# SPDX-License-Identifier: BSD-3-Clause
"""Overlays: source and blob say the same, and apply to a base as dtc understands them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import fdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rslctl import board, overlay
from rslctl.errors import RslError

from tests.unit.machine import Rslctl

REPOSITORY = Path(__file__).parents[2]
BASE = """\
/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	compatible = "linux,dummy-virt";
	interrupt-parent = <0x8002>;
	intc@8000000 {
		reg = <0 0x8000000 0 0x10000>;
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
		phandle = <0x8002>;
		#interrupt-cells = <3>;
		interrupt-controller;
		v2m@8020000 { reg = <0 0x8020000 0 0x1000>; };
	};
};
"""

#: The nodes get their interrupt parent from the base, which dtc cannot see.
INHERITED = "-Wno-interrupts_property"

needs_dtc = pytest.mark.skipif(
    not shutil.which("dtc") or not shutil.which("fdtoverlay"),
    reason="dtc and fdtoverlay are missing: package device-tree-compiler",
)


def dtc(text: str, *arguments: str) -> bytes:
    done = subprocess.run(
        ["dtc", "-I", "dts", "-O", "dtb", *arguments],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def normal(blob: bytes) -> dict[str, dict[str, bytes]]:
    """A blob's properties by path, as bytes, whatever their order."""
    found: dict[str, dict[str, bytes]] = {}
    for path, _, properties in fdt.parse_dtb(blob).walk():
        # A property in a blob: token, length, offset of its name, then the data, padded.
        found[path] = {
            each.name: bytes(each.to_dtb("")[0])[4:8] + bytes(each.to_dtb("")[0])[12:]
            for each in properties
        }
    return found


@pytest.mark.parametrize("name", board.built_in())
def test_the_checked_in_overlays_are_what_rslctl_generates(name: str, rslctl: Rslctl) -> None:
    kept = (REPOSITORY / f"dt-overlays/{name}.dtso").read_text()
    assert rslctl("overlay", "--board", name) == (0, kept, "")


@needs_dtc
@pytest.mark.parametrize("name", board.built_in())
def test_source_and_blob_are_the_same_overlay(name: str) -> None:
    made = overlay.build(board.load(name))
    compiled = dtc(overlay.to_source(made), INHERITED)
    assert normal(compiled) == normal(overlay.to_blob(made))


@needs_dtc
def test_merged_into_a_base_every_reference_points_where_it_should(tmp_path: Path) -> None:
    made = overlay.build(board.load("qemu-virt"))
    tree = fdt.parse_dtb(overlay.merge(made, dtc(BASE), "base.dtb"))
    memory = tree.get_node("/reserved-memory/memory@70000000")
    assert memory.get_property("reg").data == [0, 0x70000000, 0, 0x1000000]
    link = tree.get_node("/rsl-mbox@8020040")
    assert link.get_property("memory-region").data == memory.get_property("phandle").data
    assert tree.get_property("status", "/intc@8000000/v2m@8020000").data == ["disabled"]
    (tmp_path / "merged.dtb").write_bytes(tree.to_dtb())
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", tmp_path / "merged.dtb"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@needs_dtc
def test_a_base_that_does_not_fit_is_refused_with_the_node(tmp_path: Path) -> None:
    made = overlay.build(board.load("qemu-virt"))
    with pytest.raises(RslError, match="base: has no node /intc@8000000/v2m@8020000, which the"):
        overlay.merge(made, dtc(BASE.replace("v2m@", "its@")), "base")
    merged = overlay.merge(made, dtc(BASE), "base")
    with pytest.raises(RslError, match="base: has a node /reserved-memory/memory@70000000 already"):
        overlay.merge(made, merged, "base")


@pytest.mark.parametrize(
    "data", [b"", b"no tree", bytes(4096), b"\xd0\x0d\xfe\xed", b"\xd0\x0d\xfe\xed" * 20]
)
def test_a_base_that_is_no_device_tree_is_refused(data: bytes) -> None:
    made = overlay.build(board.load("qemu-virt"))
    with pytest.raises(RslError, match="base: is not a device tree blob"):
        overlay.merge(made, data, "base")


@needs_dtc
def test_a_base_with_other_cells_is_refused() -> None:
    made = overlay.build(board.load("qemu-virt"))
    one = (
        '/dts-v1/; / { #address-cells = <1>; #size-cells = <1>; compatible = "x";'
        "intc@8000000 { reg = <0x8000000 4>; #address-cells = <1>; #size-cells = <1>; ranges;"
        "v2m@8020000 { reg = <0x8020000 4>; }; }; };"
    )
    with pytest.raises(RslError, match=r"base: / has #address-cells = 1, the overlay needs \(2,\)"):
        overlay.merge(made, dtc(one), "base")


def test_files_are_written_by_their_suffix(tmp_path: Path, rslctl: Rslctl) -> None:
    for name in ("x.dtso", "x.dtbo"):
        assert rslctl("overlay", "--board", "qemu-virt", "-o", tmp_path / name)[:2] == (0, "")
    assert (tmp_path / "x.dtso").read_text().startswith("// SPDX-License-Identifier")
    assert (tmp_path / "x.dtbo").read_bytes()[:4] == b"\xd0\x0d\xfe\xed"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "x.dts"], 2, "rslctl: -o: 'x.dts' has to end in .dtso or .dtbo\n"),
        (["--merge", "x.dtb"], 2, "rslctl: --merge needs --base\n"),
        (["--base", "/nowhere/x.dtb"], 1, "rslctl: cannot read base device tree '/nowhere/x.dtb'"),
        (["-o", "/nowhere/x.dtbo"], 1, "rslctl: cannot write '/nowhere/x.dtbo': No such file"),
    ],
)
def test_a_wrong_file_is_named(
    rslctl: Rslctl, arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = rslctl("overlay", "--board", "qemu-virt", *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith(message)


regions = st.builds(
    board.Region,
    st.integers(0x10000, 0x1FFFF).map(lambda page: page << 12),
    st.integers(1, 0x100).map(lambda pages: pages << 12),
)
vectors = st.integers(1, 32).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n).map(tuple),
        st.lists(st.integers(0, 987), min_size=n, max_size=n, unique=True).map(tuple),
    )
)
doorbells = st.builds(
    lambda register, both, trigger: board.Doorbell(register * 4, both[0], both[1], trigger),
    st.integers(0, 2**40),
    vectors,
    st.sampled_from(sorted(board.TRIGGERS)),
)
links = st.builds(
    board.Link,
    st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True),
    regions,
    st.none() | regions,
    doorbells,
).filter(lambda link: not (link.firmware and link.firmware.overlaps(link.memory)))


@needs_dtc
@settings(max_examples=25, deadline=None)
@given(links)
def test_any_profile_gives_the_same_overlay_in_both_forms(link: board.Link) -> None:
    made = overlay.build(board.Board("any", "any", "any", (), (link,)))
    assert normal(dtc(overlay.to_source(made), INHERITED)) == normal(overlay.to_blob(made))
