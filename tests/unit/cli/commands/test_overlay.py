# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl overlay`` and the commands below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Rslctl
from tests.unit.boot.support import install, prepare, rslctl_install, rslctl_uninstall, snapshot
from tests.unit.machine import Machine


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


def test_options_that_make_no_sense_are_told(machine: Machine, rslctl: Rslctl) -> None:
    assert (
        "'lilo' is not one of extlinux, l4t, u-boot-menu, armbian, uenv, ti"
        in (rslctl_install(machine, rslctl, "--loader", "lilo")[2])
    )
    status, _, err = rslctl("overlay", "install", "--root", machine.root, "--loader", "uenv")
    assert (status, err) == (2, "rslctl: --transport, --loader, --base and --dtb need --board\n")
    assert rslctl_install(machine, rslctl, "--dtb", "/x", "--loader", "uenv")[0] == 2
    status, _, err = rslctl("overlay", "--board", "qemu-virt", "install", "--board", "zcu102")
    assert (status, err.splitlines()[0]) == (
        2,
        "rslctl: options of 'overlay install' go behind it",
    )
    assert rslctl("overlay")[::2] == (
        2,
        "rslctl: overlay needs --board\nhint: rslctl boards lists the boards\n",
    )


def test_several_installations_have_to_be_told_apart(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    for name in ("qemu-virt", "zcu102"):
        assert rslctl("overlay", "install", "--board", name, "--root", machine.root)[0] == 3
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: several overlays are installed: qemu-virt, zcu102",
    )
    for name in ("zcu102", "qemu-virt"):
        assert rslctl_uninstall(machine, rslctl, "--board", name)[0] == 3
    assert snapshot(machine) == before


def test_the_list_is_a_table_or_says_that_there_is_nothing(
    machine: Machine, rslctl: Rslctl
) -> None:
    assert rslctl("overlay", "list", "--root", machine.root) == (
        0,
        "",
        "rslctl: no overlay is installed or applied\n",
    )
    prepare(machine, "armbian")
    install(machine)
    status, out, _ = rslctl("overlay", "list", "--root", machine.root)
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["overlay", "where", "state"],
        ["qemu-virt", "armbian", "installed"],
    ]
