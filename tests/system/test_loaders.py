# SPDX-License-Identifier: BSD-3-Clause
"""Overlays for boot loaders of machines that have the device trees of Debian's kernels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from rslctl.devicetree import tree

from tests.amp import dtbs
from tests.amp.machine import run
from tests.command_line import Rslctl
from tests.command_line import rslctl as rslctl

LABEL = "label one\n\tlinux /boot/Image\n"
CONF = "boot/extlinux/extlinux.conf"
VERDIN = "imx8mp-verdin-nonwifi-dev.dtb"
PROFILE = """\
description = "Toradex Verdin iMX8MP: Cortex-M7 by MU"
compatible = "toradex,verdin-imx8mp"

[[link]]
name = "m7"

[link.memory]
base = 0x80000000
size = 0x1000000

[link.mailbox]
controller = "&mu /soc@0/bus@30800000/mailbox@30aa0000"
tx = [[2, 0], [2, 1]]
rx = [[3, 0], [3, 1]]
"""
#: As NXP's overlays for heterogeneous multicore processing are, for the same core.
OTHER = """\
/dts-v1/;
/plugin/;
&{/} {
	#address-cells = <2>;
	#size-cells = <2>;
	reserved-memory {
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
		m7@80000000 { no-map; reg = <0 0x80000000 0 0x1000000>; };
	};
	imx8mp-cm7 {
		compatible = "fsl,imx8mn-cm7";
		mbox-names = "tx", "rx", "rxdb";
		mboxes = <&mu 0 1>, <&mu 1 1>, <&mu 3 1>;
	};
};
&mu { status = "okay"; };
"""


def compiled(source: str, target: Path, *options: str) -> Path:
    target.with_suffix(".dts").write_text(source)
    run(["dtc", "-q", *options, "-O", "dtb", "-o", target, target.with_suffix(".dts")])
    return target


def with_symbols(base: Path, target: Path) -> Path:
    """The Verdin's tree with a label of the message unit."""
    text = run(["dtc", "-q", "-I", "dtb", "-O", "dts", base])
    assert text.count("\tmailbox@30aa0000 {") == 1
    return compiled(text.replace("\tmailbox@30aa0000 {", "\tmu: mailbox@30aa0000 {"), target, "-@")


@pytest.fixture
def verdin(tmp_path: Path) -> tuple[Path, Path]:
    """The root of a Verdin, and its profile."""
    root = tmp_path / "root"
    (root / "boot/extlinux").mkdir(parents=True)
    profile = tmp_path / "verdin.toml"
    profile.write_text(PROFILE)
    return root, profile


def state(rslctl: Rslctl, root: Path) -> str:
    return rslctl("overlay", "list", "--root", root)[1].split()[-1]


def test_an_overlay_of_the_label_for_the_same_core_is_a_conflict(
    verdin: tuple[Path, Path], rslctl: Rslctl
) -> None:
    root, profile = verdin
    with_symbols(dtbs.path("6.12", VERDIN), root / "boot/board.dtb")
    compiled(OTHER, root / "boot/extlinux/hmp.dtbo", "-@")
    label = f"{LABEL}\tfdt /boot/board.dtb\n"
    (root / CONF).write_text(f"{label}\tfdtoverlays hmp.dtbo\n")
    status, _, err = rslctl("overlay", "install", "--board", profile, "--root", root)
    assert status == 1
    where = "rslctl: /boot/board.dtb + hmp.dtbo: "
    assert f"{where}overlap: m7: memory at 0x80000000, 0x1000000 bytes, overlaps /reserved-" in err
    assert f"{where}channel: m7: <3 1> of /soc@0/bus@30800000/mailbox@30aa0000 is used by" in err
    (root / CONF).write_text(label)
    assert rslctl("overlay", "install", "--board", profile, "--root", root)[0] == 3


def test_the_tree_of_another_kernel_in_its_place_makes_the_overlay_stale(
    verdin: tuple[Path, Path], rslctl: Rslctl
) -> None:
    root, profile = verdin
    conf = f"{LABEL}\tfdt /boot/{VERDIN}\n"
    (root / CONF).write_text(conf)
    releases = ["6.1", "6.12", *(["sid"] if "SID" in os.environ else [])]
    for number, release in enumerate(releases):
        shutil.copy(dtbs.path(release, VERDIN), root / "boot")
        if number:
            assert state(rslctl, root) == "stale"
            status, out, _ = rslctl("overlay", "install", "--root", root)
            assert f"replacing what is installed: /boot/{VERDIN} has changed since" in out
        else:
            status = rslctl("overlay", "install", "--board", profile, "--root", root)[0]
        assert (status, state(rslctl, root)) == (3, "installed")
        merged = root.parent / "merged.dtb"
        made = root / "boot/extlinux/rslctl-verdin.dtbo"
        run(["fdtoverlay", "-i", root / "boot" / VERDIN, "-o", merged, made])
        parsed = tree.from_blob(merged.read_bytes(), "merged")
        channels = parsed.specifiers("/rsl-mbox-m7", "mboxes", "#mbox-cells")
        assert {path for path, _ in channels} == {"/soc@0/bus@30800000/mailbox@30aa0000"}
    assert rslctl("overlay", "uninstall", "--root", root)[0] == 3
    assert (root / CONF).read_text() == conf


def test_the_tree_that_is_booted_is_found_among_all_of_a_kernel(
    verdin: tuple[Path, Path], rslctl: Rslctl
) -> None:
    root, _ = verdin
    base = dtbs.path("6.12", "zynqmp-zcu102-rev1.0.dtb")
    folder = base.parents[1]
    shutil.copytree(folder, root / "usr/lib" / folder.name)
    (root / CONF).write_text(f"{LABEL}\tfdtdir /usr/lib/{folder.name}/\n")
    command = ("overlay", "install", "--board", "zcu102", "--root", root)
    status, _, err = rslctl(*command)
    assert status == 1
    # Its revisions need overlays of their own.
    assert f"/usr/lib/{folder.name}/xilinx/zynqmp-zcu102-revA.dtb" in err
    running = root / "sys/firmware/devicetree/base"
    running.mkdir(parents=True)
    parsed = tree.from_blob(base.read_bytes(), "base")
    for key in ("compatible", "model"):
        (running / key).write_bytes(parsed.nodes["/"][key])
    assert rslctl(*command)[0] == 3
    made = root / "boot/extlinux/rslctl-zcu102.dtbo"
    first = made.read_bytes()
    assert rslctl("overlay", "uninstall", "--root", root)[0] == 3
    shutil.rmtree(running)
    assert rslctl(*command, "--base", base)[0] == 3
    assert made.read_bytes() == first
    assert state(rslctl, root) == "installed"
