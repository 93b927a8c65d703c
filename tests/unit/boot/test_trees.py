# SPDX-License-Identifier: BSD-3-Clause
"""The tree that is booted, found in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rslctl.boot import trees
from rslctl.boot.trees import Stack
from rslctl.boot.view import Part, View
from rslctl.devicetree import tree

from tests.command_line import Rslctl
from tests.unit.boot.support import EXTLINUX, FILE, rslctl_install, snapshot
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

pytestmark = needs_dtc
COMPATIBLE = 'compatible = "linux,dummy-virt"'
RUNNING = "/sys/firmware/devicetree/base"
#: The same tree, whose interrupt controller has another phandle.
OTHER = BASE.replace("0x8002>", "0x8003>")


@pytest.fixture
def directory(machine: Machine) -> str:
    """A directory of trees, of which one is of board qemu-virt; the label names the directory."""
    conf = EXTLINUX.replace("fdt /dtbs/board.dtb", "fdtdir /dtbs/")
    machine.write("/boot/extlinux/extlinux.conf", conf)
    machine.write("/boot/dtbs/vendor/one.dtb", dtc(BASE))
    machine.write("/boot/dtbs/vendor/x.dtb", dtc(BASE.replace("linux,dummy-virt", "x,y")))
    machine.write("/boot/dtbs/README", "linux,dummy-virt")
    return "/boot/dtbs"


def test_fdtdir_is_looked_in_for_the_tree_of_the_board(
    machine: Machine, rslctl: Rslctl, directory: str
) -> None:
    machine.write(f"{directory}/vendor/one.dtb", dtc(BASE.replace("0x40000000>;", "0x10000000>;")))
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err.startswith(f"rslctl: {directory}/vendor/one.dtb: ram: ")
    assert snapshot(machine) == before
    machine.write(f"{directory}/vendor/one.dtb", dtc(BASE))
    status, out, _ = rslctl_install(machine, rslctl)
    assert (status, "was not checked" in out) == (3, False)


def test_a_tree_without_symbols_gets_an_overlay_that_needs_none(
    machine: Machine, rslctl: Rslctl, directory: str
) -> None:
    profile = machine.write(
        "/etc/rslctl/boards/mine.toml",
        'extends = "qemu-virt"\ninterrupt-parent = "&gic /intc@8000000"\n',
    )
    assert profile.exists()
    status, _, err = rslctl("overlay", "install", "--board", "mine", "--root", machine.root)
    assert (status, err.splitlines()[-1]) == (3, "rslctl: reboot to have it applied")
    blob = machine.host.read("/boot/extlinux/rslctl-mine.dtbo")
    assert "/__fixups__" not in tree.from_blob(blob, "made")


def test_trees_that_need_different_overlays_are_told_apart_by_the_running_machine(
    machine: Machine, rslctl: Rslctl, directory: str
) -> None:
    machine.write(
        "/etc/rslctl/boards/mine.toml",
        'extends = "qemu-virt"\ninterrupt-parent = "&gic /intc@8000000"\n',
    )
    two = OTHER.replace(COMPATIBLE, 'compatible = "v,two", "linux,dummy-virt"')
    machine.write(f"{directory}/vendor/two.dtb", dtc(two))
    command = ("overlay", "install", "--board", "mine", "--root", machine.root)
    status, _, err = rslctl(*command)
    assert status == 1
    assert err == (
        f"rslctl: the boot loader may load any of {directory}/vendor/one.dtb, "
        f"{directory}/vendor/two.dtb, and the overlay differs for them\n"
        "hint: --base FILE.dtb says which it is; in U-Boot: printenv fdtfile\n"
    )
    given = machine.path(f"{directory}/vendor/one.dtb")
    assert rslctl(*command, "--base", given)[0] == 3
    first = machine.host.read("/boot/extlinux/rslctl-mine.dtbo")
    assert rslctl("overlay", "uninstall", "--root", machine.root)[0] == 3
    machine.write(f"{RUNNING}/compatible", "v,two\0linux,dummy-virt\0")
    assert rslctl(*command)[0] == 3
    assert machine.host.read("/boot/extlinux/rslctl-mine.dtbo") != first


def test_trees_that_need_the_same_overlay_are_all_watched(
    machine: Machine, rslctl: Rslctl, directory: str
) -> None:
    two = machine.write(f"{directory}/vendor/two.dtb", dtc(OTHER))
    assert rslctl_install(machine, rslctl)[0] == 3
    assert '"installed"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    two.write_bytes(dtc(OTHER.replace("// more", "new { };")))
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]


def test_the_directory_of_a_new_kernel_makes_it_stale(
    machine: Machine, rslctl: Rslctl, directory: str
) -> None:
    assert rslctl_install(machine, rslctl)[0] == 3
    machine.path(directory).rename(machine.path("/boot/old"))
    _, out, _ = rslctl("overlay", "list", "--json", "--root", machine.root)
    assert '"stale"' in out
    machine.write(f"{directory}/moved.dtb", dtc(OTHER))
    status, out, _ = rslctl("overlay", "install", "--root", machine.root)
    assert status == 3
    assert "replacing what is installed: the tree one.dtb is not there any more" in out
    assert '"installed"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]


def test_a_loader_without_a_known_tree_gets_one_that_fits_the_running_tree(
    tmp_path: Path, rslctl: Rslctl
) -> None:
    machine = Machine(tmp_path)
    machine.write("/boot/extlinux/extlinux.conf", EXTLINUX)
    parsed = tree.from_blob(dtc(BASE.replace("0x40000000>;", "0x10000000>;")), "base")
    for path, properties in parsed.nodes.items():
        for key, value in properties.items():
            machine.write(f"{RUNNING}{path}/{key}", value)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err.startswith("rslctl: the running device tree: ram: rpu0: ")
    machine.write(
        f"{RUNNING}/memory@40000000/reg", bytes.fromhex("000000004000000000000000") + b"\x40\0\0\0"
    )
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert "the base tree is not known from /boot/extlinux/extlinux.conf: the running one is" in out
    assert machine.host.exists(f"/boot/extlinux/{FILE}")


def test_a_model_tells_apart_what_the_compatible_names_do_not(machine: Machine) -> None:
    parts = [
        Part(name, dtc(BASE.replace(COMPATIBLE, f'{COMPATIBLE}; model = "{name}"')))
        for name in ("one", "two")
    ]
    view = View(machine.host, compatible=("linux,dummy-virt",))
    assert trees.matching(view, parts) == parts
    machine.write(f"{RUNNING}/compatible", "linux,dummy-virt\0")
    machine.write(f"{RUNNING}/model", "two\0")
    assert trees.matching(view, parts) == parts[1:]


def test_the_digest_is_of_the_tree_and_all_overlays_in_their_order() -> None:
    one, two, three = (Part(name, os.urandom(8)) for name in ("1", "2", "3"))
    stacks = [
        Stack(one),
        Stack(two),
        Stack(one, (two,)),
        Stack(one, (two, three)),
        Stack(one, (three, two)),
    ]
    assert len({each.digest() for each in stacks}) == len(stacks)
    assert trees.digest(stacks[:2]) == trees.digest(stacks[1::-1])
