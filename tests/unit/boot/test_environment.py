# SPDX-License-Identifier: BSD-3-Clause
"""Environment files of boot scripts, and the overlays that they list."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    ARMBIAN,
    FILE,
    TREES,
    UENV,
    install,
    prepare,
    rslctl_install,
    snapshot,
    taken,
    uninstall,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc


def test_armbian_names_it_among_the_users_own(machine: Machine) -> None:
    prepare(machine, "armbian")
    install(machine)
    text = machine.host.read("/boot/armbianEnv.txt").decode()
    assert text == ARMBIAN.replace("=mine", "=mine rslctl-qemu-virt")
    assert machine.host.exists(f"/boot/overlay-user/{FILE}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", "a=1\nuser_overlays=rslctl-qemu-virt\n"),
        ("a=1\r\n", "a=1\r\nuser_overlays=rslctl-qemu-virt\r\n"),
        ("user_overlays=\r\n", "user_overlays=rslctl-qemu-virt\r\n"),
        ("#user_overlays=x\n", "#user_overlays=x\nuser_overlays=rslctl-qemu-virt\n"),
        ("", "user_overlays=rslctl-qemu-virt\n"),
    ],
)
def test_armbian_gets_the_variable_where_it_has_none(
    machine: Machine, text: str, expected: str
) -> None:
    machine.write("/boot/armbianEnv.txt", text)
    install(machine)
    assert machine.host.read("/boot/armbianEnv.txt").decode() == expected
    uninstall(machine)
    assert machine.host.read("/boot/armbianEnv.txt").decode() == text


@pytest.mark.parametrize(
    ("loader", "old", "new"),
    [
        *((each, "rslctl-qemu-virt", r"\g<0>2") for each in ("armbian", "uenv", "ti", "toradex")),
        *((each, "\n(?=.*rslctl)", "\n#") for each in ("armbian", "uenv", "toradex")),
    ],
)
def test_a_name_that_is_commented_out_or_another_ones_is_not_loaded(
    machine: Machine, rslctl: Rslctl, loader: str, old: str, new: str
) -> None:
    prepare(machine, loader)
    install(machine)
    (conf,) = [path for path in machine.root.rglob("*.txt") if b"rslctl" in path.read_bytes()]
    edited = re.sub(old, new, f"\n{conf.read_text()}").lstrip("\n")
    conf.write_text(edited)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert '"installed"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    uninstall(machine)
    assert conf.read_text() == edited


def test_uenv_gets_the_first_free_of_the_variables_for_own_overlays(machine: Machine) -> None:
    prepare(machine, "uenv")
    install(machine)
    text = machine.host.read("/boot/uEnv.txt").decode()
    assert text == f"{UENV}uboot_overlay_addr5=/lib/firmware/{FILE}\n"
    assert machine.host.exists(f"/lib/firmware/{FILE}")


def test_ti_lists_it_among_those_below_dtb_of_the_root(machine: Machine) -> None:
    prepare(machine, "ti")
    install(machine)
    text = machine.host.read("/run/media/boot-mmcblk1p1/uEnv.txt").decode()
    assert text == f"# TI\nname_overlays=ti/a.dtbo {FILE}\n"
    assert machine.host.exists(f"/boot/dtb/{FILE}")


def test_toradex_lists_it_among_those_beside_the_file(machine: Machine) -> None:
    prepare(machine, "toradex")
    install(machine)
    assert machine.host.read("/media/BOOT/overlays.txt") == f"fdt_overlays=a.dtbo {FILE}\n".encode()
    assert machine.host.exists(f"/media/BOOT/overlays/{FILE}")


@dataclass(frozen=True)
class Stacked:
    """A file that has another overlay applied, and where that lies."""

    loader: str
    path: str
    text: str
    other: str


STACKED = [
    Stacked("armbian", "/boot/armbianEnv.txt", "user_overlays=x\n", "/boot/overlay-user/x.dtbo"),
    Stacked(
        "armbian",
        "/boot/armbianEnv.txt",
        "overlay_prefix=rk\noverlays=x\n",
        "/boot/dtb/rockchip/overlay/rk-x.dtbo",
    ),
    Stacked(
        "uenv",
        "/boot/uEnv.txt",
        f"{UENV}uboot_overlay_addr0=x.dtbo\n",
        "/boot/dtbs/6.12.1-ti/overlays/x.dtbo",
    ),
    Stacked("uenv", "/boot/uEnv.txt", UENV, "/lib/firmware/BB-UART4-00A0.dtbo"),
    Stacked("ti", "/boot/uEnv.txt", "name_overlays=ti/x.dtbo\n", "/boot/dtb/ti/x.dtbo"),
    Stacked(
        "toradex",
        "/media/BOOT/overlays.txt",
        "fdt_overlays=x.dtbo\n",
        "/media/BOOT/overlays/x.dtbo",
    ),
    Stacked(
        "raspberrypi",
        "/boot/firmware/config.txt",
        "[all]\ndtoverlay=x,a=1\n",
        "/boot/firmware/overlays/x.dtbo",
    ),
]


@needs_dtc
@pytest.mark.parametrize("case", STACKED, ids=lambda case: f"{case.loader} {case.other}")
def test_what_the_loader_applies_beside_it_is_applied_before_the_check(
    machine: Machine, rslctl: Rslctl, case: Stacked
) -> None:
    prepare(machine, case.loader)
    machine.write(case.path, case.text)
    machine.write(TREES[case.loader], dtc(BASE))
    machine.write(case.other, taken())
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl, "--loader", f"{case.loader}:{case.path}")
    assert status == 1
    name = case.other.rpartition("/")[2]
    assert err.startswith(f"rslctl: {TREES[case.loader]} + {name}: overlap: rpu0: memory at 0x7")
    assert snapshot(machine) == before
    machine.write(case.other, taken("60000000"))
    assert rslctl_install(machine, rslctl, "--loader", f"{case.loader}:{case.path}")[0] == 3
    # A change of what is applied beside it makes it stale.
    machine.write(case.other, taken("61000000"))
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
