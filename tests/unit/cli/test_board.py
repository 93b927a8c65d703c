# SPDX-License-Identifier: BSD-3-Clause
"""The board that a command is told to take."""

from __future__ import annotations

from pathlib import Path

import pytest
from rslctl.cli.board import chosen
from rslctl.errors import RslError, UsageError
from rslctl.linux.host import Host
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.machine import Machine


def test_a_profile_may_be_named_by_its_file(rslctl: Rslctl, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text((Path(reader.__file__).parent / "boards/qemu-virt.toml").read_text())
    status, out, _ = rslctl("overlay", "--board", profile)
    assert status == 0
    assert "--board mine" in out


def test_a_board_without_hardware_is_not_set_up(rslctl: Rslctl, machine: Machine) -> None:
    for command in ("setup", "doctor", "overlay", "remote-dt"):
        status, _, err = rslctl(command, "--board", "sim")
        assert (status, err.splitlines()[0]) == (
            1,
            "rslctl: link 'rpu0' of board 'sim' has no hardware",
        )


def test_a_board_without_a_device_tree_has_no_overlay(rslctl: Rslctl) -> None:
    for words in (("overlay",), ("remote-dt",), ("overlay", "apply"), ("overlay", "remove")):
        status, _, err = rslctl(*words, "--board", "ivshmem")
        assert (status, err) == (
            1,
            "rslctl: board 'ivshmem' has no device tree: its links are of PCI devices\n"
            "hint: no overlay is needed: rslctl setup --board ivshmem\n",
        )


def test_a_link_to_another_machine_has_one_transport(rslctl: Rslctl) -> None:
    status, _, err = rslctl("setup", "--board", "ivshmem", "--transport", "doorbell")
    assert (status, "of board 'ivshmem' have no other than ivshmem" in err) == (2, True)


def test_a_board_is_taken_on_the_transport_that_is_asked_for() -> None:
    assert chosen("zcu102", None, Host()).links[0].transport == "mailbox"
    assert chosen("zcu102", "doorbell", Host()).links[0].transport == "doorbell"


def test_a_transport_that_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="--transport: 'pigeon' is not one of mailbox, doorbell"):
        chosen("zcu102", "pigeon", Host())
    with pytest.raises(RslError, match="no link of board 'qemu-virt' has a mailbox") as error:
        chosen("qemu-virt", "mailbox", Host())
    assert error.value.hint == "it has rpu0: doorbell"


def test_a_machines_own_board_goes_before_that_of_rslctl(tmp_path: Path) -> None:
    own = tmp_path / "etc/rslctl/boards/zcu102.toml"
    own.parent.mkdir(parents=True)
    own.write_text('extends = "zcu102"\ndescription = "ours"\n')
    assert chosen("zcu102", None, Host(tmp_path)).description == "ours"
