# SPDX-License-Identifier: BSD-3-Clause
"""Setups keep out of each other's way."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest
from rslctl.errors import WaitTimeoutError
from rslctl.linux.host import Host
from rslctl.setup.lock import locked

from tests.command_line import Rslctl
from tests.unit.machine import Machine


def test_two_setups_keep_out_of_each_others_way(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_device_tree().with_driver().with_link()
    arguments = ("setup", "--board", "qemu-virt", "--root", machine.root)
    with locked(machine.host, 0, print):
        status, _, err = rslctl(*arguments, "--timeout", "0.1")
    assert status == 4
    holder = f"process {os.getpid()} ("
    assert f"waiting for {holder}" in err
    assert f"another rslctl setup or teardown is under way: {holder}" in err
    assert rslctl(*arguments)[0] == 0


def test_a_setup_waits_for_another_to_end(machine: Machine) -> None:
    other = contextlib.ExitStack()
    other.enter_context(locked(machine.host, 0, print))
    said = []

    def note(text: str) -> None:
        said.append(text)
        threading.Timer(0.1, other.close).start()

    with locked(machine.host, 30, note):
        assert [text.partition(" (")[0] for text in said] == [f"waiting for process {os.getpid()}"]


def test_what_a_killed_writer_left_is_swept_away(machine: Machine) -> None:
    left = machine.write("/run/rslctl/.rpu0.json.rslctl-new", '{"link": "rp')
    with locked(machine.host, 0, print):
        assert not left.exists()


def test_the_state_directory_is_readable_whatever_the_umask(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Host, "live", True)
    before = os.umask(0o077)
    try:
        with locked(machine.host, 0, print):
            assert (machine.root / "run/rslctl/lock").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert (machine.root / "run/rslctl").stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_in_an_image(machine: Machine, rslctl: Rslctl) -> None:
    with locked(machine.host, 0, print):
        machine.write("/run/rslctl/rpu0.json", "{}")
        with pytest.raises(WaitTimeoutError), locked(Host(machine.root), 0, print):
            pass
    # What setup needs stays.
    machine.path("/run/rslctl/rpu0.json").unlink()
    assert rslctl("teardown", "--root", machine.root)[0] == 0
    assert [*machine.path("/run").iterdir()] == []
    machine.path("/run").rmdir()
    assert rslctl("teardown", "--root", machine.root)[0] == 0
    assert [*machine.root.iterdir()] == []
