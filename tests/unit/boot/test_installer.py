# SPDX-License-Identifier: BSD-3-Clause
"""Overlays put where the boot loader takes them, and taken out again."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from rslctl.boot import installed, transaction
from rslctl.devicetree import overlay, tree
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    EXTLINUX,
    FILE,
    every_loader,
    install,
    killed,
    left_behind,
    options,
    prepare,
    put_tree,
    rslctl_install,
    rslctl_uninstall,
    snapshot,
    uninstall,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc


@pytest.mark.parametrize("loader", every_loader)
def test_an_installation_can_be_repeated_and_undone(
    machine: Machine, rslctl: Rslctl, loader: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    assert rslctl_install(machine, rslctl, "--dry-run", *options(loader))[0] == 0
    assert snapshot(machine) == before
    status, out, err = rslctl_install(machine, rslctl, *options(loader))
    assert (status, err.splitlines()[-1]) == (3, "rslctl: reboot to have it applied")
    after = snapshot(machine)
    now = snapshot(machine, records=False)
    changed = {name for name in now if now[name] != before.get(name)}
    for name in changed:
        if (machine.root / name).is_file():
            assert f"wrote {machine.root / name}\n" in out
    status, out, _ = rslctl_install(machine, rslctl)
    assert (status, out.splitlines()[-1]) == (
        0,
        "the overlay of board qemu-virt is installed already",
    )
    assert snapshot(machine) == after
    status, out, _ = rslctl("overlay", "list", "--json", "--root", machine.root)
    (row,) = json.loads(out)
    assert (row["name"], row["where"], row["state"]) == ("qemu-virt", loader, "installed")
    assert rslctl_uninstall(machine, rslctl, "--dry-run")[0] == 0
    assert snapshot(machine) == after
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before
    assert machine.host.names(transaction.STATE) == []
    assert rslctl_uninstall(machine, rslctl)[::2] == (
        0,
        "rslctl: no overlay is installed: nothing to undo\n",
    )


def test_u_boot_update_is_run_and_what_it_made_is_looked_at(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(machine, "u-boot-menu")
    before = snapshot(machine)
    ran: list[list[str]] = []
    conf = machine.path("/boot/extlinux/extlinux.conf")

    def update(_: Host, command: list[str] | tuple[str, ...], **__: str) -> str:
        ran.append(list(command))
        there = machine.host.exists(f"/boot/dtbo/{FILE}") and len(ran) != 1
        line = f"fdtoverlays  /boot/dtbo/a.dtbo /boot/dtbo/{FILE}\n" if there else ""
        conf.write_text(EXTLINUX + line)
        os.utime(conf, ns=(before["boot/extlinux/extlinux.conf"][1],) * 2)
        return ""

    monkeypatch.setattr(Host, "run", update)
    monkeypatch.setattr(Host, "live", True)
    with pytest.raises(RslError, match="u-boot-update did not put rslctl-qemu-virt"):
        install(machine)
    assert install(machine)
    assert not install(machine)
    assert uninstall(machine)
    # The failure, what it takes to undo that, the second try, and undoing it.
    assert ran == [["u-boot-update"]] * 4
    assert snapshot(machine) == before


@needs_dtc
def test_a_tree_is_replaced_by_the_merged_one_also_behind_a_link(machine: Machine) -> None:
    prepare(machine, "dtb")
    machine.path("/boot/current.dtb").symlink_to("/boot/board.dtb")
    install(machine, installed.How(dtb="/boot/current.dtb"))
    merged = tree.from_blob(machine.host.read("/boot/board.dtb"), "merged")
    assert "/rsl-mbox@8020040" in merged
    assert machine.host.link_target("/boot/current.dtb") == "/boot/board.dtb"
    assert stat.S_IMODE(machine.path("/boot/board.dtb").stat().st_mode) == 0o600


@needs_dtc
@pytest.mark.parametrize("place", ["/dtbs/board.dtb", "/boot/dtbs/board.dtb"])
def test_the_tree_of_the_label_is_checked_before_anything_is_written(
    machine: Machine, rslctl: Rslctl, place: str
) -> None:
    prepare(machine, "extlinux")
    machine.write(place, dtc(BASE.replace("linux,dummy-virt", "x,y")))
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err == (
        f"rslctl: {place}: compatible: it is for x,y, board 'qemu-virt' is linux,dummy-virt\n"
    )
    assert snapshot(machine) == before
    machine.write(place, dtc(BASE))
    status, out, _ = rslctl_install(machine, rslctl)
    assert (status, "was not checked" in out) == (3, False)


@needs_dtc
def test_labels_that_the_tree_lacks_are_told_now_and_not_at_boot(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    machine.write("/boot/dtbs/board.dtb", dtc(BASE))
    status, _, err = rslctl(
        "overlay", "install", "--board", "stm32mp157c-dk2", "--root", machine.root
    )
    assert status == 1
    assert "label: there is no node &" in err


def test_another_overlay_of_the_board_replaces_the_one_there(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    first = machine.host.read(f"/boot/extlinux/{FILE}")
    other = overlay.build(reader.load("zcu102"))
    monkeypatch.setattr(overlay, "build", lambda *_: other)
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert "replacing what is installed: it is another one" in out
    assert machine.host.read(f"/boot/extlinux/{FILE}") != first
    uninstall(machine)
    assert snapshot(machine) == before


def test_an_unfinished_installation_is_listed_and_a_dry_run_leaves_it(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "armbian")
    before = snapshot(machine)
    at = 0
    while killed(at, lambda: install(machine)) and snapshot(machine, records=False) == before:
        uninstall(machine)
        at += 1
    half = snapshot(machine)
    assert '"unfinished"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    status, out, _ = rslctl_install(machine, rslctl, "--dry-run")
    assert (status, out.splitlines()[0]) == (0, "would take back an unfinished installation")
    assert snapshot(machine) == half
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine, records=False) == before


class _Fault:
    """A disk that is full at the *at*-th write, as ENOSPC of Host.put; later writes succeed."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.put = Host.put

    def __call__(self, host: Host, name: str, data: bytes, **more: Any) -> None:
        self.left -= 1
        if self.left == -1:
            raise RslError(f"cannot write '{host.where(name)}': No space left on device")
        self.put(host, name, data, **more)


@pytest.mark.parametrize("loader", every_loader)
def test_an_installation_that_fails_leaves_nothing_and_says_so(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    put = Host.put
    for at in range(20):
        fault = _Fault(at)
        monkeypatch.setattr(Host, "put", lambda *words, fault=fault, **more: fault(*words, **more))
        status, _, err = rslctl_install(machine, rslctl, *options(loader))
        monkeypatch.setattr(Host, "put", put)
        if fault.left >= 0:
            break
        assert status == 1
        assert err.endswith("': No space left on device; nothing of the overlay is left\n")
        assert snapshot(machine) == before
        assert left_behind(machine) == []
    assert at >= 3
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before


@pytest.mark.parametrize("name", ["a b", "a,b", "a#b", "b\u00f6ard"])
def test_a_name_that_loaders_would_not_take_as_one_file_is_refused(
    machine: Machine, rslctl: Rslctl, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    prepare(machine, "armbian")
    before = snapshot(machine)
    path = tmp_path_factory.mktemp("named") / f"{name}.toml"
    path.write_text('extends = "qemu-virt"\n')
    status, _, err = rslctl("overlay", "install", "--board", path, "--root", machine.root)
    assert (status, f"board {name!r}: in the lists of boot loaders" in err) == (1, True), err
    assert snapshot(machine) == before


@pytest.mark.parametrize("loader", ["extlinux", "l4t", "raspberrypi"])
def test_a_configuration_behind_a_link_is_put_back_once(machine: Machine, loader: str) -> None:
    prepare(machine, loader)
    (place,) = [
        each for each in machine.path("/boot").rglob("*.*") if each.suffix in (".conf", ".txt")
    ]
    real = machine.path("/boot/real")
    place.rename(real)
    place.symlink_to(real)
    before = snapshot(machine)
    install(machine)
    assert snapshot(machine) != before
    uninstall(machine)
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("loader", "path"),
    [
        *(("extlinux", f"var/lib/rslctl/overlay/{FILE[7:-5]}"[:end]) for end in (3, 7, 14, 22, 99)),
        ("armbian", "boot/overlay-user"),
        ("uenv", "lib"),
        ("u-boot-menu", "boot/dtbo"),
        pytest.param("flash-kernel", "etc/flash-kernel/dtbs", marks=needs_dtc),
    ],
)
def test_a_file_in_place_of_a_directory_is_named_and_nothing_is_left(
    machine: Machine, rslctl: Rslctl, loader: str, path: str
) -> None:
    prepare(machine, loader)
    machine.write(f"/{path}", "x")
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl, *options(loader))
    text = f"'{machine.root}/{path}' is a file, and has to be a directory; nothing of the overlay"
    assert (status, text in err) == (1, True), err
    assert err.endswith("hint: move the file away\n")
    assert snapshot(machine) == before


@pytest.mark.parametrize("path", ["boot", "boot/extlinux"])
def test_a_file_in_place_of_a_loaders_directory_is_named(
    machine: Machine, rslctl: Rslctl, path: str
) -> None:
    machine.write(f"/{path}", "x")
    status, _, err = rslctl_install(machine, rslctl)
    text = f"'{machine.root}/{path}' is a file, and has to be a directory\n"
    assert (status, err.count(text)) == (1, 1), err


def test_a_directory_in_place_of_a_loaders_file_is_named(machine: Machine, rslctl: Rslctl) -> None:
    machine.write("/boot/extlinux/extlinux.conf/x", "x")
    status, _, err = rslctl_install(machine, rslctl)
    text = "extlinux: /boot/extlinux/extlinux.conf is a directory, and has to be a file; there is"
    assert (status, text in err) == (1, True), err


def test_what_cannot_be_taken_back_after_a_failure_is_told(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)

    def full(host: Host, name: str, *_: object, **__: object) -> None:
        if host.exists(f"/boot/extlinux/{FILE}") or name == f"/boot/extlinux/{FILE}":
            machine.write(f"/boot/extlinux/{FILE}", "half")
            raise RslError(f"cannot write '{name}': Input/output error")

    monkeypatch.setattr(Host, "put", full)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "Input/output error; and it could not be taken back: '" in err
    assert "hint: rslctl overlay uninstall tries that again" in err
    monkeypatch.undo()
    machine.path(f"/boot/extlinux/{FILE}").unlink()
    rslctl_uninstall(machine, rslctl)
    assert snapshot(machine) == before


@needs_dtc
@pytest.mark.parametrize("loader", every_loader)
def test_a_changed_tree_makes_it_stale_and_it_is_fitted_anew(
    machine: Machine, rslctl: Rslctl, loader: str
) -> None:
    prepare(machine, loader)
    put_tree(machine, loader, dtc(BASE))
    assert rslctl_install(machine, rslctl, *options(loader))[0] == 3
    assert _state(machine, rslctl) == "installed"
    assert rslctl("overlay", "install", "--root", machine.root)[::2] == (
        0,
        "rslctl: no installed overlay is stale: nothing to fit anew\n",
    )
    put_tree(machine, loader, dtc(BASE.replace("// more", "new { };")))
    new = snapshot(machine)
    assert _state(machine, rslctl) == "stale"
    assert rslctl("overlay", "install", "--root", machine.root, "--dry-run")[0] == 0
    assert snapshot(machine) == new
    status, out, err = rslctl("overlay", "install", "--root", machine.root)
    assert (status, err.splitlines()[-1]) == (3, "rslctl: reboot to have it applied")
    assert "replacing what is installed: " in out
    assert _state(machine, rslctl) == "installed"
    # A tree that the overlay does not fit: nothing changes, and that is said.
    put_tree(machine, loader, dtc(BASE.replace("0x40000000>;", "0x10000000>;")))
    new = snapshot(machine)
    status, _, err = rslctl("overlay", "install", "--root", machine.root)
    assert status == 1
    assert "rslctl: overlay qemu-virt: " in err
    assert ": ram: rpu0: " in err
    assert "or take it out with rslctl overlay uninstall" in err
    assert snapshot(machine) == new
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert not list(machine.root.rglob("*rslctl-*"))


def _state(machine: Machine, rslctl: Rslctl) -> str:
    _, out, _ = rslctl("overlay", "list", "--json", "--root", machine.root)
    (row,) = json.loads(out)
    return str(row["state"])


def test_a_base_that_only_the_user_told_is_watched_while_it_is_there(
    machine: Machine, rslctl: Rslctl, tmp_path: Path
) -> None:
    prepare(machine, "extlinux")
    base = tmp_path / "given.dtb"
    base.write_bytes(dtc(BASE))
    assert rslctl_install(machine, rslctl, "--base", str(base))[0] == 3
    assert _state(machine, rslctl) == "installed"
    base.write_bytes(dtc(BASE.replace("// more", "new { };")))
    assert _state(machine, rslctl) == "stale"
    base.unlink()
    assert _state(machine, rslctl) == "installed"
