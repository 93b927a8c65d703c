# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl boards``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.profile.support import PROFILE, write


def test_boards_lists_every_profile(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    status, out, _ = rslctl("boards", "--json")
    assert [each["name"] for each in json.loads(out)] == reader.built_in()


def test_boards_are_shown_and_checked(tmp_path: Path, rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards", "show", "zcu102")
    assert status == 0
    assert "offers: mailbox, doorbell" in out
    assert "  remote: zynqmp-r5-0\n  remoteproc: /remoteproc-split@ffe00000/r5f@0 " in out
    bad = write(tmp_path / "bad.toml", PROFILE.replace("trigger", "tiger"))
    worse = write(tmp_path / "worse.toml", "")
    status, out, err = rslctl("boards", "check", "kv260", bad, worse)
    assert (status, out) == (1, "kv260: 1 link(s), no mistake found\n")
    assert [line.split(": ")[1] for line in err.splitlines()] == [f"{bad}:15", f"{worse}:1"]
    assert rslctl("boards", "check")[0] == 0


def test_a_broken_profile_hides_no_other(tmp_path: Path, rslctl: Rslctl) -> None:
    write(tmp_path / "etc/rslctl/boards/mine.toml", "oops")
    status, out, err = rslctl("boards", "--root", tmp_path)
    assert status == 1
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    assert "mine.toml:1: is not TOML" in err


IMX = """\
/dts-v1/;
/ {
	#address-cells = <1>;
	#size-cells = <1>;
	compatible = "vendor,board", "fsl,imx8mm";
	model = "A board";
	memory@40000000 { device_type = "memory"; reg = <0x40000000 0x40000000>; };
	mailbox@30aa0000 {
		compatible = "fsl,imx6sx-mu";
		reg = <0x30aa0000 0x10000>;
		#mbox-cells = <2>;
	};
	pru@1 { compatible = "ti,am642-pru"; };
};
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    made = tmp_path / "board.dtb"
    made.write_bytes(dtc(IMX, "-q"))
    return made


def test_a_proposed_profile_is_accepted(tmp_path: Path, base: Path, rslctl: Rslctl) -> None:
    mine = tmp_path / "mine.toml"
    status, out, err = rslctl("boards", "propose", "--base", base, "--size", "1M", "-o", mine)
    assert (status, out) == (0, "")
    refused, wrote = err.splitlines()
    assert refused.startswith("rslctl: no link for pru_1: a PRU has no mailbox")
    assert wrote == f"rslctl: wrote {mine}"
    assert reader.load(str(mine)).links[0].memory.size == 1 << 20
    assert rslctl("boards", "check", mine)[0] == 0
    assert rslctl("overlay", "--board", mine, "--base", base)[0] == 0
    # Without a file it goes to stdout, and nothing else does.
    status, out, _ = rslctl("boards", "propose", "--base", base, "--size", "0x100000")
    assert (status, out) == (0, mine.read_text())


def test_a_board_that_is_known_is_said(tmp_path: Path, rslctl: Rslctl) -> None:
    known = tmp_path / "virt.dtb"
    known.write_bytes(
        dtc(BASE.replace("v2m@8020000 {", 'v2m@8020000 { compatible = "arm,gic-v2m-frame";'))
    )
    status, _, err = rslctl("boards", "propose", "--base", known)
    assert (status, "the profile 'qemu-virt' is for this board, too" in err) == (0, True)


def test_nothing_is_written_if_no_remote_can_have_a_link(tmp_path: Path, rslctl: Rslctl) -> None:
    bare, mine = tmp_path / "bare.dtb", tmp_path / "mine.toml"
    for text, told in (
        (
            IMX.replace("30aa0000", "30ab0000"),
            "no link for m4: the tree has no mailbox at 0x30aa0000",
        ),
        (IMX.replace("fsl,imx8mm", "vendor,chip"), "no link for pru_1: a PRU has no mailbox"),
        (IMX.replace("fsl,imx8mm", "x").replace("ti,am642-pru", "y"), "knows no remote"),
    ):
        bare.write_bytes(dtc(text, "-q"))
        status, out, err = rslctl("boards", "propose", "--base", bare, "-o", mine)
        assert (status, out, mine.exists()) == (1, "", False)
        assert f"rslctl: {bare}: {told}" in err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--size", "5"), 2, "--size: '5' is not a multiple of 0x1000 bytes up to 4G"),
        (("--size", "16Q"), 2, "--size: '16Q' is not a multiple"),
        (("--size", "0"), 2, "--size: '0' is not a multiple"),
        (("--size", "5G"), 2, "--size: '5G' is not a multiple"),
        (
            ("--size", "1G"),
            1,
            "no link for m4: Linux would have less than half of its RAM, 0x40000000",
        ),
        (("-o", "mine.txt"), 2, "-o: 'mine.txt' is not the name of a profile"),
        (("--root", "/etc"), 2, "--base is instead of the machine that --root names"),
    ],
)
def test_wrong_words_are_refused(
    words: tuple[str, ...], status: int, told: str, base: Path, rslctl: Rslctl
) -> None:
    found, out, err = rslctl("boards", "propose", "--base", base, *words)
    assert (found, out) == (status, "")
    assert told in err


def test_the_running_machine_is_the_default(tmp_path: Path, rslctl: Rslctl) -> None:
    """A root with a device tree as the kernel shows it (drivers/of/kobj.c), without symlinks."""
    status, _, err = rslctl("boards", "propose", "--root", tmp_path)
    assert (status, "this machine has no device tree" in err) == (1, True)
    top = tmp_path / "sys/firmware/devicetree/base"
    cells = (1).to_bytes(4, "big")
    for path, properties in {
        "": {"compatible": b"v,b\0fsl,imx8mm\0", "#address-cells": cells, "#size-cells": cells},
        "mailbox@30aa0000": {
            "compatible": b"fsl,imx6sx-mu\0",
            "reg": bytes.fromhex("30aa000000010000"),
            "#mbox-cells": (2).to_bytes(4, "big"),
        },
    }.items():
        (top / path).mkdir(parents=True)
        for key, value in properties.items():
            (top / path / key).write_bytes(value)
    status, out, err = rslctl("boards", "propose", "--root", tmp_path)
    assert (status, "/proc/iomem tells no addresses" in err) == (0, True)
    assert "base = 0x4c000000" in out
    # As on an EFI machine, whose tree has no RAM.
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text(
        "40000000-5fffffff : System RAM\n  58000000-5fffffff : reserved\n"
    )
    status, out, err = rslctl("boards", "propose", "--root", tmp_path)
    assert (status, "tells no addresses" in err) == (0, False)
    assert "base = 0x57000000" in out
    assert "Found: RAM is what the running kernel has" in out
