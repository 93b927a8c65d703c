# SPDX-License-Identifier: BSD-3-Clause
"""Overlays: source and blob say the same, and apply to a base as dtc understands them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import fdt
import pytest
from rslctl.devicetree import nodes, overlay, tree
from rslctl.errors import RslError, SeveralError
from rslctl.profile import model, reader
from rslctl.region import Region

from tests.command_line import Rslctl
from tests.unit.machine import REAL_BOARDS
from tests.unit.programs import needs_dtc

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
	memory@40000000 {
		device_type = "memory";
		reg = <0 0x40000000 0 0x40000000>;
	};
	// more
};
"""

#: The nodes get their interrupt parent from the base, which dtc cannot see.
INHERITED = "-Wno-interrupts_property"
#: The controllers of mailboxes are in the base, too.
NO_CONTROLLER = "-Wno-mboxes_property"


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


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_checked_in_overlays_are_what_rslctl_generates(name: str, rslctl: Rslctl) -> None:
    kept = (REPOSITORY / f"dt-overlays/{name}.dtso").read_text()
    assert rslctl("overlay", "--board", name) == (0, kept, "")


def variants() -> list[tuple[str, str, str]]:
    """Board, transport and style of every overlay that can be made."""
    found = []
    for name in REAL_BOARDS:
        (link,) = reader.load(name).links
        found += [(name, transport, "rsl") for transport in link.offers]
        if name.startswith("zcu"):
            found.append((name, "mailbox", "user-mailbox"))
    return found


@needs_dtc
@pytest.mark.parametrize(("name", "transport", "style"), variants())
def test_source_and_blob_are_the_same_overlay(name: str, transport: str, style: str) -> None:
    made = overlay.build(overlay.choose(reader.load(name), transport), style)
    compiled = dtc(nodes.to_source(made), INHERITED, NO_CONTROLLER)
    assert normal(compiled) == normal(nodes.to_blob(made))


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


def test_overlays_are_the_same_from_run_to_run(tmp_path: Path) -> None:
    made = set()
    for seed in ("1", "2"):
        for suffix in ("dtso", "dtbo"):
            file = tmp_path / f"{seed}.{suffix}"
            command = [sys.executable, "-m", "rslctl", "overlay", "--board", "zcu102", "-o", file]
            tools = str(REPOSITORY / "tools")
            environment = {"PYTHONPATH": tools, "PYTHONHASHSEED": seed, "PATH": "/usr/bin"}
            subprocess.run([*map(str, command)], check=True, env=environment)
            made.add(file.read_bytes())
    assert len(made) == 2


def merged(base: bytes, name: str = "qemu-virt") -> bytes:
    made = overlay.for_base(reader.load(name), "rsl", tree.from_blob(base, "base"))
    return overlay.merge(made, base)


def problems(base: str, profile: model.Board | None = None) -> list[str]:
    """What is found against the overlay on a base."""
    parsed = tree.from_blob(dtc(base), "base")
    try:
        overlay.for_base(profile or reader.load("qemu-virt"), "rsl", parsed)
    except SeveralError as error:
        assert all(message.startswith("base: ") for message in error.messages)
        return [message.removeprefix("base: ") for message in error.messages]
    return []


@needs_dtc
def test_merged_into_a_base_every_reference_points_where_it_should(tmp_path: Path) -> None:
    merged_tree = tree.from_blob(merged(dtc(BASE)), "merged")
    assert merged_tree.cells("/reserved-memory/memory@70000000", "reg") == (
        *(0, 0x70000000),
        *(0, 0x1000000),
    )
    (number,) = merged_tree.cells("/rsl-mbox@8020040", "memory-region")
    assert merged_tree.phandles[number] == "/reserved-memory/memory@70000000"
    assert merged_tree.texts("/intc@8000000/v2m@8020000", "status") == ["disabled"]
    (tmp_path / "merged.dtb").write_bytes(merged(dtc(BASE)))
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", tmp_path / "merged.dtb"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


@needs_dtc
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("v2m@", "its@", "label: there is no node /intc@8000000/v2m@8020000; near it: /intc@8000"),
        ('"linux,dummy-virt"', '"x,y"', "compatible: it is for x,y, board 'qemu-virt' is linux,du"),
        ("0x40000000 0 0x40000000", "0 0 0x100000", "ram: rpu0: memory at 0x70000000, 0x1000000 b"),
        ("// more", "dev@70fff000 { reg = <0 0x70fff000 0 4>; };", "overlap: rpu0: memory at 0x7"),
        ("// more", "/memreserve/", "overlap: rpu0: firmware at 0x50000000, 0x200000 bytes, over"),
        ("// more", "dev { interrupts = <0 81 4>; };", "interrupt: rpu0: SPI 81 is used by /dev"),
        ("interrupt-parent = <0x8002>;", "", "interrupt: / has no interrupt-parent, so the profi"),
        ("#interrupt-cells = <3>", "#interrupt-cells = <2>", "interrupt: /intc@8000000 does not"),
        (
            "// more",
            "rsl-mbox@8020040 { reg = <0 0x8020040 0 4>; };",
            "node: it has /rsl-mbox@8020040 already, which the",
        ),
        ("// more", "dev@8020040 { reg = <0 0x8020040 0 4>; };", "register: rpu0: doorbell at 0x"),
    ],
)
def test_what_stands_between_overlay_and_base_is_named(old: str, new: str, expected: str) -> None:
    text = BASE.replace(old, new)
    if new == "/memreserve/":
        text = BASE.replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x50000000 0x1000;")
    assert problems(BASE) == []
    assert [each for each in problems(text) if each.startswith(expected)]


@needs_dtc
def test_a_disabled_user_is_none() -> None:
    for node in (
        'dev { interrupts = <0 81 4>; status = "disabled"; };',
        'dev@70fff000 { reg = <0 0x70fff000 0 4>; status = "disabled"; };',
    ):
        assert problems(BASE.replace("// more", node)) == []


@needs_dtc
def test_all_problems_are_told_in_one_run(tmp_path: Path, rslctl: Rslctl) -> None:
    text = BASE.replace("// more", "dev@70000000 { reg = <0 0x70000000 0 4>; };")
    text = text.replace("v2m@", "its@").replace('"linux,dummy-virt"', '"x,y"')
    assert {each.split(":")[0] for each in problems(text)} == {
        *("compatible", "label", "overlap", "register")
    }
    (tmp_path / "base.dtb").write_bytes(dtc(text))
    out = tmp_path / "out.dtb"
    status, _, err = rslctl(
        *("overlay", "--board", "qemu-virt", "--base", tmp_path / "base.dtb", "--merge", out)
    )
    assert status == 1
    assert err.count("rslctl: ") == len(err.splitlines()) == len(problems(text))
    assert not out.exists()


@needs_dtc
def test_an_overlay_that_is_there_already_is_told() -> None:
    twice = tree.from_blob(merged(dtc(BASE)), "base")
    with pytest.raises(SeveralError, match="node: it has /rsl-mbox@8020040 already"):
        overlay.for_base(reader.load("qemu-virt"), "rsl", twice)


@pytest.mark.parametrize(
    "data", [b"", b"no tree", bytes(4096), b"\xd0\x0d\xfe\xed", b"\xd0\x0d\xfe\xed" * 20]
)
def test_a_base_that_is_no_device_tree_is_refused(data: bytes) -> None:
    with pytest.raises(RslError, match="base: is not a device tree blob"):
        tree.from_blob(data, "base")


@needs_dtc
def test_a_base_with_one_cell_each_gets_nodes_with_one_cell_each() -> None:
    one = """/dts-v1/; / {
        #address-cells = <1>; #size-cells = <1>; compatible = "linux,dummy-virt";
        interrupt-parent = <1>; memory@40000000 { device_type = "memory";
        reg = <0x40000000 0x40000000>; };
        intc@8000000 { reg = <0x8000000 4>; #address-cells = <1>; #size-cells = <1>; ranges;
        phandle = <1>; #interrupt-cells = <3>; interrupt-controller;
        v2m@8020000 { reg = <0x8020000 4>; }; }; };"""
    made = tree.from_blob(merged(dtc(one)), "merged")
    assert made.cells("/reserved-memory/memory@70000000", "reg") == (0x70000000, 0x1000000)
    high = reader.load("qemu-virt").links[0]
    high = dataclasses.replace(high, memory=Region(1 << 32, 4096))
    found = problems(one, dataclasses.replace(reader.load("qemu-virt"), links=(high,)))
    assert any(each.startswith("cells: rpu0: memory at 0x100000000") for each in found)


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
