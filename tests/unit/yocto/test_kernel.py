# SPDX-License-Identifier: BSD-3-Clause
"""The class rsl: what it gives to recipes of kernels, and of the machine's device trees."""

from __future__ import annotations

import re
from pathlib import Path

import fdt
import pytest

from tests.unit.devicetree.support import BASE, dtc
from tests.unit.programs import needs_dtc
from tests.unit.yocto.test_layer import OLD_AND_NEW, bake, baked

#: Each kernel recipe, and the variable beside SRC_URI that it takes fragments by.
TAKES = {
    "linux-yocto": None,
    "linux-imx": "DELTA_KERNEL_DEFCONFIG",
    "linux-imx-fatal": None,
    "linux-ti-staging": "KERNEL_CONFIG_FRAGMENTS",
}
BOTH = ("DELTA_KERNEL_DEFCONFIG", "KERNEL_CONFIG_FRAGMENTS")

#: The tree of a machine that is not the board "qemu-virt", as BASE is.
OTHER = '/dts-v1/;\n/ { compatible = "other,board"; };\n'


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("zynqmp", "rsl-zynqmp.cfg"),
        ("k3", "rsl-k3.cfg"),
        ("imx-generic-bsp", "rsl-imx.cfg"),
        ("stm32mpcommon", "rsl-stm32mp.cfg"),
    ],
)
@pytest.mark.parametrize("recipe", TAKES)
@pytest.mark.parametrize("series", OLD_AND_NEW)
def test_a_kernel_is_given_its_configuration_in_its_own_way(
    tmp_path: Path, family: str, file: str, recipe: str, series: str
) -> None:
    settings = {"INHERIT": "rsl", "MACHINEOVERRIDES": f"{family}:board", "RSL_BOARD": ""}
    variables = baked(tmp_path, recipe, "do_unpack", SERIES=series, **settings)
    assert variables["SRC_URI"].split() == ["file://rsl.cfg", f"file://{file}"]
    unpacked = Path(variables["UNPACKDIR"] or variables["WORKDIR"])
    for name in ("rsl.cfg", file):
        assert re.search("^CONFIG_[A-Z0-9_]+=[ym]$", (unpacked / name).read_text(), re.MULTILINE)
    for name in BOTH:
        wanted = [str(unpacked / "rsl.cfg"), str(unpacked / file)] if name == TAKES[recipe] else []
        assert (variables.get(name) or "").split() == wanted


def test_a_kernel_that_takes_none_is_told_of_once(tmp_path: Path) -> None:
    settings = {"INHERIT": "rsl", "PREFERRED_PROVIDER_virtual/kernel": "linux-plain"}
    done = bake(tmp_path, "linux-plain", **settings)
    assert done.stderr.count("this kernel takes no configuration fragments") == 1
    assert "kernel-config/rsl.cfg names" in done.stderr
    for recipe in ("linux-yocto", "linux-ti-staging"):
        assert bake(tmp_path, recipe, **settings).stderr == ""
    other = {**settings, "PREFERRED_PROVIDER_virtual/kernel": "linux-yocto"}
    assert not baked(tmp_path, "linux-plain", **other)["SRC_URI"]


def test_only_kernels_are_given_any_and_only_if_asked_for(tmp_path: Path) -> None:
    assert not baked(tmp_path, "linux-firmware", INHERIT="rsl")["SRC_URI"]
    assert not baked(tmp_path, "linux-yocto")["SRC_URI"]


def trees(place: Path) -> dict[str, str]:
    """The sources of two machines' trees, and the settings that have a kernel make them."""
    place.mkdir()
    (place / "virt.dts").write_text(BASE)
    (place / "other.dts").write_text(OTHER)
    return {
        "INHERIT": "rsl",
        "RSL_BOARD": "qemu-virt",
        "TREES": str(place),
        "KERNEL_DEVICETREE": "arm/virt.dtb other.dtb",
    }


MERGED = ("do_compile", "do_rsl_merge", "do_install")


@needs_dtc
def test_the_link_is_in_the_trees_that_the_kernel_makes(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees")
    wanted = None
    # Twice, as when another rslctl has only this task run again; then with a newer source.
    for more in ("", "", '\n/ { model = "newer"; };\n'):
        (tmp_path / "trees/virt.dts").write_text(BASE + more) if more else None
        variables = baked(tmp_path / "build", "linux-yocto", *MERGED, **settings)
        tree = fdt.parse_dtb((Path(variables["D"]) / "boot/virt.dtb").read_bytes())
        assert tree.exist_node("/reserved-memory")
        links = [path for path, *_ in tree.walk() if "rsl" in path]
        assert links and (wanted is None or links == wanted)
        wanted = links
    assert tree.get_property("model", "/").value == "newer"
    other = (Path(variables["D"]) / "boot/other.dtb").read_bytes()
    assert other == dtc(OTHER, "-@")


@needs_dtc
def test_the_link_is_in_the_tree_of_virtual_dtb(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {
        "PREFERRED_PROVIDER_virtual/dtb": "device-tree",
        "DT_FILES_PATH": str(tmp_path / "trees"),
    }
    compiled = baked(
        tmp_path / "build", "device-tree", *MERGED, DT_FILES="virt.dts other.dts", **settings
    )
    (tmp_path / "trees/blob.dtb").write_bytes(dtc(BASE, "-@"))
    given = baked(tmp_path / "given", "device-tree", *MERGED, DTB_FILE_NAME="blob.dtb", **settings)
    for variables, name in ((compiled, "virt.dtb"), (given, "blob.dtb")):
        blob = (Path(variables["D"]) / "boot/devicetree" / name).read_bytes()
        assert has_link(blob)


@needs_dtc
def test_a_machine_without_a_tree_of_the_board_is_told(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {"KERNEL_DEVICETREE": "other.dtb"}
    done = bake(tmp_path / "build", "linux-yocto", "do_compile", "do_rsl_merge", **settings)
    assert done.returncode == 1
    assert (
        "no device tree of MACHINE 'zcu102-zynqmp' is one of board 'qemu-virt', which is for "
        "linux,dummy-virt: other.dtb (other,board)"
    ) in done.stderr


@needs_dtc
def test_a_tree_of_no_board_is_left(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {"KERNEL_DEVICETREE": "bare.dtb virt.dtb"}
    bare = "/dts-v1/;\n/ { };\n"
    (tmp_path / "trees/bare.dts").write_text(bare)
    variables = baked(tmp_path / "build", "linux-yocto", *MERGED, **settings)
    assert has_link((Path(variables["D"]) / "boot/virt.dtb").read_bytes())
    assert (Path(variables["D"]) / "boot/bare.dtb").read_bytes() == dtc(bare, "-@")
    (log,) = (tmp_path / "build").rglob("log.do_rsl_merge")
    assert "of other boards: bare.dtb (no compatible)" in log.read_text()


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({}, True),
        ({"RSL_BOARD": ""}, False),
        ({"RSL_DEVICE_TREE": "none"}, False),
        ({"KERNEL_DEVICETREE": "virt.dtb"}, False),
        ({"PREFERRED_PROVIDER_virtual/dtb": "device-tree"}, False),
        ({"PREFERRED_PROVIDER_virtual/kernel": "another"}, False),
        # openembedded-core's conf/machine/include/qemu.inc has the override of all.
        ({"MACHINE": "qemuarm64", "MACHINEOVERRIDES": "qemuall:qemuarm64"}, False),
    ],
)
def test_a_link_without_a_tree_to_merge_it_into_is_warned_of(
    tmp_path: Path, settings: dict[str, str], warns: bool
) -> None:
    given = {"INHERIT": "rsl", "PREFERRED_PROVIDER_virtual/kernel": "linux-yocto"}
    done = bake(tmp_path, "linux-yocto", **(given | settings))
    assert done.returncode == 0
    told = "RSL_DEVICE_TREE: 'merged', but there is nothing to merge the link into: neither "
    assert (told in done.stderr) == warns, done.stderr


#: A variant of the machine that the link does not fit: it has no interrupt controller.
VARIANT = """\
/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	compatible = "linux,dummy-virt";
};
"""


def has_link(blob: bytes) -> bool:
    return any("rsl" in path for path, *_ in fdt.parse_dtb(blob).walk())


@needs_dtc
def test_a_tree_that_the_link_does_not_fit_is_refused_and_left(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {"KERNEL_DEVICETREE": "variant.dtb virt.dtb"}
    (tmp_path / "trees/variant.dts").write_text(VARIANT)
    done = bake(tmp_path / "build", "linux-yocto", "do_compile", "do_rsl_merge", **settings)
    assert done.returncode == 1
    assert "the link of board 'qemu-virt' does not fit variant.dtb: rslctl: " in done.stderr
    (tree,) = (tmp_path / "build").rglob("dts/variant.dtb")
    assert tree.read_bytes() == dtc(VARIANT, "-@")


@needs_dtc
def test_a_variant_that_the_link_does_not_fit_is_told_of_and_left(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {"KERNEL_DEVICETREE": "virt.dtb variant.dtb"}
    (tmp_path / "trees/variant.dts").write_text(VARIANT)
    done = bake(tmp_path / "build", "linux-yocto", *MERGED, **settings)
    assert done.returncode == 0
    (log,) = (tmp_path / "build").rglob("log.do_rsl_merge")
    told = "WARNING: without the link, as it does not fit: variant.dtb; with it: virt.dtb"
    assert told in log.read_text()
    (made,) = (tmp_path / "build").rglob("image/boot")
    assert has_link((made / "virt.dtb").read_bytes())
    assert (made / "variant.dtb").read_bytes() == dtc(VARIANT, "-@")


@pytest.mark.parametrize("how", ["overlay", "none"])
def test_trees_are_left_to_a_boot_loader_with_symbols(tmp_path: Path, how: str) -> None:
    settings = trees(tmp_path / "trees")
    # Also where an earlier build has merged, whose trees are there still.
    for first in (how, "merged"):
        place = tmp_path / first
        variables = baked(place, "linux-yocto", *MERGED, RSL_DEVICE_TREE=first, **settings)
        assert has_link((Path(variables["D"]) / "boot/virt.dtb").read_bytes()) == (first != how)
        variables = baked(place, "linux-yocto", *MERGED[1:], RSL_DEVICE_TREE=how, **settings)
        assert (Path(variables["D"]) / "boot/virt.dtb").read_bytes() == dtc(BASE, "-@")


@needs_dtc
def test_without_a_board_or_the_class_trees_are_as_before(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees")
    for without, flags in ({"RSL_BOARD": ""}, ["-@"]), ({"INHERIT": ""}, []):
        place = tmp_path / str(len(flags))
        variables = baked(place, "linux-yocto", *MERGED, **settings)
        assert has_link((Path(variables["D"]) / "boot/virt.dtb").read_bytes())
        tasks = [task for task in MERGED if without != {"INHERIT": ""} or task != "do_rsl_merge"]
        variables = baked(place, "linux-yocto", *tasks, **(settings | without))
        assert (Path(variables["D"]) / "boot/virt.dtb").read_bytes() == dtc(BASE, *flags)


@pytest.mark.parametrize("recipe", ["device-tree", "linux-firmware", "core-image-minimal"])
def test_the_class_changes_signatures_of_what_it_changes_only(tmp_path: Path, recipe: str) -> None:
    """Without the class, virtual/dtb is made anew from its sources: it was changed in place."""
    settings = {"RSL_BOARD": "qemu-virt", "PREFERRED_PROVIDER_virtual/dtb": "device-tree"}
    without, given = (
        baked(tmp_path, recipe, INHERIT=each, **settings)["signatures"] for each in ("", "rsl")
    )
    changed = {task for task in without if without[task] != given[task]}
    assert changed == ({"do_unpack"} if recipe == "device-tree" else set())


@needs_dtc
def test_trees_that_are_found_when_the_sources_are_there_get_the_link(tmp_path: Path) -> None:
    """As meta-ti's ti-devicetree-prefix.bbclass does: there are none at the first parse."""
    unpacked = tmp_path / "unpacked"
    settings = trees(tmp_path / "trees") | {
        "KERNEL_DEVICETREE": f"${{@'virt.dtb' if os.path.exists('{unpacked}') else ' '}}",
        "KERNEL_DEVICETREE_PREFIX": "virt",
    }
    assert "do_rsl_merge" in baked(tmp_path / "build", "linux-yocto", **settings)["signatures"]
    unpacked.touch()
    variables = baked(tmp_path / "build", "linux-yocto", *MERGED, **settings)
    assert has_link((Path(variables["D"]) / "boot/virt.dtb").read_bytes())


def test_the_trees_of_firmware_are_left_alone(tmp_path: Path) -> None:
    """Of a configuration for bare metal (multiconfig), as meta-xilinx has for its firmware."""
    settings = {
        "INHERIT": "rsl",
        "RSL_BOARD": "qemu-virt",
        "PREFERRED_PROVIDER_virtual/dtb": "device-tree",
    }
    assert "do_rsl_merge" in baked(tmp_path / "linux", "device-tree", **settings)["signatures"]
    firmware = baked(tmp_path / "firmware", "device-tree", TARGET_OS="elf", **settings)
    assert "do_rsl_merge" not in firmware["signatures"]


def test_a_variable_of_fragments_that_is_set_is_one_that_is_taken(tmp_path: Path) -> None:
    """As linux-stm32mp and users of linux-ti-staging set it."""
    settings = {"INHERIT": "rsl", "KERNEL_CONFIG_FRAGMENTS": "/own.cfg"}
    variables = baked(tmp_path, "linux-ti-staging", **settings)
    assert "/rsl.cfg" in variables["KERNEL_CONFIG_FRAGMENTS"]


def test_another_word_is_refused(tmp_path: Path) -> None:
    settings = trees(tmp_path / "trees") | {"RSL_DEVICE_TREE": "both"}
    done = bake(tmp_path / "build", "linux-yocto", **settings)
    assert "RSL_DEVICE_TREE: 'both' is not merged, overlay or none" in done.stderr
