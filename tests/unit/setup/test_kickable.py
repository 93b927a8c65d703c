# SPDX-License-Identifier: BSD-3-Clause
"""Whether there is a remote to be kicked."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.setup import kickable

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import STATE, set_up


def test_nobody_rings_a_remote_that_is_down(machine: Machine, rslctl: Rslctl) -> None:
    set_up(machine).with_remote("offline")
    status, _, err = rslctl("kick", "0", "--root", machine.root)
    assert status == 1
    assert "the remote of link 'rpu0' is offline: nobody there to be kicked" in err
    assert "rslctl remote start --link rpu0" in err
    assert machine.host.read("/dev/rsl_mbox0") == b""
    machine.write(STATE, "running\n")
    assert rslctl("kick", "0", "--root", machine.root)[0] == 0


@pytest.mark.parametrize("state", ["running", "attached"])
def test_a_remote_that_runs_can_be_kicked(machine: Machine, state: str) -> None:
    set_up(machine).with_remote(state)
    kickable.check_running(machine.host, "rpu0")


@pytest.mark.parametrize("state", ["crashed", "detached", "suspended"])
def test_a_remote_that_does_not_run_is_told_by_its_state(machine: Machine, state: str) -> None:
    set_up(machine).with_remote(state)
    with pytest.raises(RslError, match=f"the remote of link 'rpu0' is {state}: nobody there"):
        kickable.check_running(machine.host, "rpu0")


def test_a_remote_of_which_nothing_is_known_may_be_there(machine: Machine) -> None:
    machine.with_link()
    kickable.check_running(machine.host, "rpu0")
    set_up(Machine(machine.root / "other"), remoteproc="")
    kickable.check_running(Machine(machine.root / "other").host, "rpu0")


def test_a_remote_whose_device_is_gone_is_named(machine: Machine) -> None:
    set_up(machine)
    with pytest.raises(RslError, match="the kernel has no remote processor of /remote"):
        kickable.check_running(machine.host, "rpu0")
