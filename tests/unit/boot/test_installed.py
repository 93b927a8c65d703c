# SPDX-License-Identifier: BSD-3-Clause
"""What is installed, and whether it still fits; also of two boards."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from rslctl.boot import installed

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    ENTRY,
    options,
    prepare,
    put_tree,
    rslctl_install,
    rslctl_uninstall,
    snapshot,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc, needs_mkimage

pytestmark = [needs_dtc, needs_mkimage]

SECOND = """\
description = "another link of the same machine"
compatible = "linux,dummy-virt"
disable = ["/intc@8000000/v2m@8020000"]

[[link]]
name = "rpu1"

[link.memory]
base = 0x71000000
size = 0x1000000

[link.doorbell]
register = 0x08020080
kick-values = [84]
spis = [84]
trigger = "edge-rising"
"""


@pytest.fixture
def second(tmp_path: Path) -> Path:
    path = tmp_path / "second.toml"
    path.write_text(SECOND)
    return path


def states(machine: Machine, rslctl: Rslctl) -> dict[str, str]:
    out = rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    return {row["name"]: row["state"] for row in json.loads(out)}


@pytest.mark.parametrize("loader", ["dtb", "grub", "systemd-boot", "extlinux", "armbian", "fit"])
def test_of_two_boards_the_later_one_goes_first_and_both_are_undone(
    machine: Machine, rslctl: Rslctl, second: Path, loader: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    assert rslctl_install(machine, rslctl, *options(loader))[0] == 3
    root = ("--root", machine.root)
    status, _, err = rslctl("overlay", "install", "--board", second, *root, *options(loader))
    assert status == 3, err
    assert states(machine, rslctl) == {"qemu-virt": "installed", "second": "installed"}
    status, _, err = rslctl("overlay", "uninstall", "--board", "qemu-virt", *root)
    assert status == 1
    assert "the overlay of board 'second' was installed over that of 'qemu-virt'" in err
    assert f"hint: run: rslctl overlay uninstall --board second --root {machine.root}\n" in err
    assert rslctl("overlay", "uninstall", "--board", "second", *root)[0] == 3
    assert states(machine, rslctl) == {"qemu-virt": "installed"}
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before


ENTRIES = "/boot/efi/loader/entries"
#: A tree of a new kernel.
NEW = f"{BASE}/ {{ a; }};"


def contents(machine: Machine) -> dict[str, bytes]:
    return {name: data for name, (_, _, data) in snapshot(machine).items() if data is not None}


def update(machine: Machine, loader: str, tree: bytes) -> dict[str, bytes]:
    """Give the machine a new kernel with *tree*; return the files that were written."""
    if loader == "systemd-boot":
        paths = [
            machine.write(path, data)
            for path, data in (
                (f"{ENTRIES}/debian-6.13.0.conf", ENTRY.replace("6.12.1", "6.13.0")),
                ("/boot/efi/debian/6.13.0/board.dtb", tree),
            )
        ]
    else:
        paths = [put_tree(machine, loader, tree)]
    return {str(path.relative_to(machine.root)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("loader", ["dtb", "grub", "systemd-boot", "extlinux", "armbian", "fit"])
def test_of_two_boards_whose_tree_is_new_both_are_fitted_anew_by_the_commands_that_are_said(
    machine: Machine, rslctl: Rslctl, tmp_path: Path, second: Path, loader: str
) -> None:
    prepare(machine, loader)
    put_tree(machine, loader, dtc(BASE))
    third = tmp_path / "with space" / "third.toml"
    third.parent.mkdir()
    third.write_text(
        second.read_text()
        .replace("rpu1", "rpu2")
        .replace("0x71", "0x72")
        .replace("0x08020080", "0x080200c0")
        .replace("84", "85")
    )
    expected = contents(machine)
    root = ("--root", machine.root)
    assert rslctl_install(machine, rslctl, *options(loader))[0] == 3
    for each in (second, third):
        status, _, err = rslctl("overlay", "install", "--board", each, *root, *options(loader))
        assert status == 3, err
    expected |= update(machine, loader, dtc(NEW))
    assert set(states(machine, rslctl).values()) == {"stale"}
    status, _, err = rslctl("overlay", "install", *root)
    assert status == 1
    assert "overlay qemu-virt: the overlay of board 'second' and 'third' was installed ov" in err
    for name in ("second", "third"):
        assert f"overlay {name}: is over that of board 'qemu-virt'" in err
    said = re.search(r"overlay qemu-virt: .* \(run: (.*)\)\n", err)
    assert said
    commands = said[1].split("; ")
    assert [each.split()[2] for each in commands] == ["uninstall"] * 2 + ["install"] * 3
    (finding,) = [each for each in installed.findings(machine.host) if "'qemu-virt'" in each.text]
    assert finding.remedy == f"before the next boot: {said[1]}"
    for command in commands:
        status, _, err = rslctl(*shlex.split(command)[1:])
        assert status == 3, err
    assert set(states(machine, rslctl).values()) == {"installed"}
    for name in ("third", "second", "qemu-virt"):
        status, _, err = rslctl("overlay", "uninstall", "--board", name, *root)
        assert status == 3, err
    assert contents(machine) == expected
