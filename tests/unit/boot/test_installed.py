# SPDX-License-Identifier: BSD-3-Clause
"""What is installed, and whether it still fits; also of two boards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import Rslctl
from tests.unit.boot.support import (
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
    assert "hint: first: rslctl overlay uninstall --board second" in err
    assert rslctl("overlay", "uninstall", "--board", "second", *root)[0] == 3
    assert states(machine, rslctl) == {"qemu-virt": "installed"}
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before


def test_of_two_boards_whose_tree_is_new_the_lower_one_is_not_fitted_anew_by_itself(
    machine: Machine, rslctl: Rslctl, second: Path
) -> None:
    prepare(machine, "extlinux")
    put_tree(machine, "extlinux", dtc(BASE))
    root = ("--root", machine.root)
    assert rslctl_install(machine, rslctl)[0] == 3
    assert rslctl("overlay", "install", "--board", second, *root)[0] == 3
    put_tree(machine, "extlinux", dtc(f"{BASE}/ {{ a; }};"))
    assert states(machine, rslctl) == {"qemu-virt": "stale", "second": "stale"}
    status, _, err = rslctl("overlay", "install", *root)
    assert status == 1
    assert "overlay qemu-virt: the overlay of board 'second' was installed over that" in err
    assert "changed by somebody" not in err
