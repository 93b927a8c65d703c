# SPDX-License-Identifier: BSD-3-Clause
"""Files changed together: killed at every write, and put back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rslctl.errors import SeveralError

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    EXTLINUX,
    FILE,
    STEPS,
    every_loader,
    how,
    install,
    killed,
    left_behind,
    prepare,
    rslctl_install,
    rslctl_uninstall,
    snapshot,
    uninstall,
)
from tests.unit.machine import Machine


def test_what_somebody_else_changed_since_is_not_overwritten(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    conf = machine.path("/boot/extlinux/extlinux.conf")
    conf.write_text(conf.read_text() + "# edited\n")
    edited = snapshot(machine)
    for status, _, err in (rslctl_install(machine, rslctl), rslctl_uninstall(machine, rslctl)):
        assert status == 1
        assert str(conf) in err
        assert "somebody else" in err
    assert snapshot(machine) == edited
    assert '"changed"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl_uninstall(machine, rslctl, "--force")[0] == 3
    assert snapshot(machine) == before


def test_a_file_that_somebody_made_anew_without_the_overlay_gets_it_again(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    install(machine)
    conf = machine.write("/boot/extlinux/extlinux.conf", EXTLINUX + "# edited\n")
    assert rslctl_uninstall(machine, rslctl)[0] == 1
    assert rslctl_install(machine, rslctl)[0] == 3
    assert "# edited\n" in conf.read_text()
    assert f"fdtoverlays {FILE}\n" in conf.read_text()
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert conf.read_text() == EXTLINUX + "# edited\n"
    assert left_behind(machine) == []


def test_a_file_that_went_since_comes_back_by_force_as_it_was(machine: Machine) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    machine.path("/boot/extlinux/extlinux.conf").unlink()
    with pytest.raises(SeveralError, match="was changed by somebody else since"):
        uninstall(machine)
    assert uninstall(machine, force=True)
    assert snapshot(machine) == before


def test_a_directory_that_somebody_else_uses_by_now_stays(machine: Machine) -> None:
    prepare(machine, "armbian")
    install(machine)
    other = machine.write("/boot/overlay-user/other.dtbo", "x")
    uninstall(machine)
    assert machine.host.names("/boot/overlay-user") == [other.name]


def test_a_damaged_record_is_told(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "extlinux")
    install(machine)
    record = machine.write("/var/lib/rslctl/overlay/qemu-virt/record.json", '{"name": 1}')
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert status == 1
    assert f"'{record}' is damaged" in err


def test_what_is_made_with_any_umask_is_believed(machine: Machine) -> None:
    prepare(machine, "armbian")
    before = snapshot(machine)
    mask = os.umask(0)
    try:
        install(machine)
        uninstall(machine)
        assert snapshot(machine) == before
        install(machine)
    finally:
        os.umask(mask)
    made = [path for path in machine.path("/var/lib/rslctl").rglob("*") if not path.is_symlink()]
    assert [path for path in made if path.stat().st_mode & 0o022] == []


def test_directories_that_two_boards_need_go_with_the_last(
    machine: Machine, rslctl: Rslctl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """u-boot-menu has a file of its own for each board, so neither is over the other."""
    prepare(machine, "u-boot-menu")
    before = snapshot(machine)
    root = ("--root", machine.root)
    other = tmp_path_factory.mktemp("other") / "other.toml"
    other.write_text('extends = "qemu-virt"\n')
    for board in ("qemu-virt", other):
        status, _, err = rslctl("overlay", "install", "--board", board, *root)
        assert status == 3, err
    for board in ("qemu-virt", "other"):
        status, _, err = rslctl("overlay", "uninstall", "--board", board, *root)
        assert status == 3, err
    assert snapshot(machine) == before


def test_a_directory_that_others_use_for_a_while_goes_at_last(machine: Machine) -> None:
    prepare(machine, "armbian")
    before = snapshot(machine)
    install(machine)
    others = machine.write("/boot/overlay-user/others.dtbo", "x")
    machine.write("/boot/overlay-user/rslctl-qemu-virt.dtbo", "damaged").unlink()
    assert install(machine)
    others.unlink()
    uninstall(machine)
    assert snapshot(machine) == before


def test_what_a_killed_uninstallation_left_goes_with_the_next(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    backup = machine.path("/var/lib/rslctl/overlay/qemu-virt/1").read_bytes()
    uninstall(machine)
    machine.write("/var/lib/rslctl/overlay/qemu-virt/1", backup)
    assert rslctl_uninstall(machine, rslctl)[::2] == (
        0,
        "rslctl: no overlay of board 'qemu-virt' is installed: nothing to undo\n",
    )
    assert snapshot(machine, records=False) == before
    assert [*machine.path("/var/lib").iterdir()] == []


@pytest.mark.parametrize(("key", "value"), [("mode", 0o4755), ("name", "../../../boot")])
def test_a_record_that_rslctl_does_not_write_is_not_believed(
    machine: Machine, rslctl: Rslctl, key: str, value: object
) -> None:
    """Whose image it is would get a program that runs as root, or files removed."""
    prepare(machine, "extlinux")
    install(machine)
    record = machine.path("/var/lib/rslctl/overlay/qemu-virt/record.json")
    planted = json.loads(record.read_text())
    if key in planted:
        planted[key] = value
    else:
        planted["changes"][0][key] = value
    record.write_text(json.dumps(planted))
    before = snapshot(machine)
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert (status, f"'{record}' is damaged: rslctl does not write such" in err) == (1, True), err
    assert snapshot(machine) == before


def test_a_record_that_others_could_write_is_not_believed(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "extlinux")
    install(machine)
    machine.path("/var/lib/rslctl/overlay/qemu-virt").chmod(0o777)
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert (status, "so others can write what rslctl would believe" in err) == (1, True), err


@pytest.mark.parametrize("loader", every_loader)
@pytest.mark.parametrize("then", ["install", "uninstall"])
def test_an_installation_that_is_killed_anywhere_can_be_gone_on_from(
    machine: Machine, loader: str, then: str
) -> None:
    # What is above rslctl's own directories cannot be recorded before it is made.
    machine.path("/var/lib").mkdir(parents=True)
    prepare(machine, loader)
    before = snapshot(machine)
    install(machine, how(loader))
    after = {name: content for name, (_, _, content) in snapshot(machine).items()}
    uninstall(machine)
    at = 0
    while killed(at, lambda: install(machine, how(loader))):
        if then == "install":
            install(machine, how(loader))
            contents = {name: content for name, (_, _, content) in snapshot(machine).items()}
            assert contents == after
            assert not install(machine, how(loader))
        uninstall(machine)
        assert snapshot(machine) == before
        assert left_behind(machine) == []
        at += STEPS[loader]
    assert at > 5


@pytest.mark.parametrize("loader", every_loader)
def test_an_uninstallation_that_is_killed_anywhere_can_be_gone_on_from(
    machine: Machine, loader: str
) -> None:
    # What is above rslctl's own directories cannot be recorded before it is made.
    machine.path("/var/lib").mkdir(parents=True)
    prepare(machine, loader)
    before = snapshot(machine)
    at = 0
    install(machine, how(loader))
    while killed(at, lambda: uninstall(machine)):
        uninstall(machine)
        assert snapshot(machine) == before
        assert left_behind(machine) == []
        install(machine, how(loader))
        at += STEPS[loader]
    assert at > 5


@pytest.mark.skipif(os.geteuid() != 0, reason="gives the record away")
def test_the_owner_of_an_image_does_not_have_files_of_this_machine_read(
    machine: Machine, rslctl: Rslctl, tmp_path: Path
) -> None:
    prepare(machine, "extlinux")
    install(machine)
    record = machine.path("/var/lib/rslctl/overlay/qemu-virt/record.json")
    planted = json.loads(record.read_text())
    planted["about"]["given"] = str(tmp_path / "secret")
    record.write_text(json.dumps(planted))
    os.chown(record, 12345, -1)
    os.chown(machine.root, 12345, -1)
    status, _, err = rslctl("overlay", "list", "--root", machine.root)
    assert (status, "belongs to user 12345, and names a file of this machine" in err) == (1, True)
