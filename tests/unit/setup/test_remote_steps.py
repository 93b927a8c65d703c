# SPDX-License-Identifier: BSD-3-Clause
"""The steps that are about what boots the remote: seen, held back, done and undone."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.setup.remote_steps import RecoveryOff, RemoteStarted, RemoteThere
from rslctl.setup.steps import Target

from tests.unit.machine import Machine
from tests.unit.remotes import FIRMWARE, OPEN_FILES, RECOVERY, STATE, was_written
from tests.unit.setup.faults import log
from tests.unit.setup.support import target


def up(machine: Machine, state: str) -> Target:
    """The link of a machine with a remote in this state."""
    return target(machine.with_device_tree().with_driver().with_link().with_remote(state))


def started(
    machine: Machine, state: str, start: str = "daemon", firmware: str = ""
) -> RemoteStarted:
    return RemoteStarted(up(machine, state), "/remote", firmware, start)


def test_a_remote_processor_that_is_not_there_is_named(machine: Machine) -> None:
    there = RemoteThere(up(machine, "offline"), "/remote")
    assert there.check()
    there.do()
    other = RemoteThere(there.target, "/other")
    assert not other.check()
    with pytest.raises(RslError, match="the kernel has no remote processor of /other"):
        other.do()


def test_the_kernel_does_not_restart_a_remote_under_its_daemon(machine: Machine) -> None:
    step = RecoveryOff(up(machine, "offline"), "/remote")
    assert not step.check()
    plan = step.plan()
    step.do()
    assert machine.host.read_text(RECOVERY) == "disabled"
    assert step.check()
    assert step.undo(machine.host, plan)
    assert machine.host.read_text(RECOVERY).startswith("enabled")
    assert not step.undo(machine.host, {"node": "/gone"})


def test_recovery_is_not_given_back_to_a_remote_that_has_crashed(machine: Machine) -> None:
    step = RecoveryOff(up(machine, "crashed"), "/remote")
    step.do()
    with pytest.raises(RslError, match="remoteproc0 has crashed, and the kernel restarts it"):
        step.undo(machine.host, step.plan())
    assert machine.host.read_text(RECOVERY) == "disabled"


def test_a_remote_waits_for_its_daemon_unless_setup_may_start_it(machine: Machine) -> None:
    step = started(machine, "offline")
    assert step.held_back() == ("left until its daemon is ready: rslctl remote start --link rpu0")
    machine.write(OPEN_FILES, "1\n")
    assert step.held_back() == ""
    machine.write(OPEN_FILES, "0\n")
    assert RemoteStarted(step.target, "/remote", "", "setup").held_back() == ""
    machine.write(STATE, "crashed\n")
    assert step.held_back().startswith("left, it has crashed: stop its daemon, then")


@pytest.mark.parametrize(
    ("state", "firmware", "done"),
    [
        ("running", "", True),
        ("running", "remote.elf", True),
        ("running", "new.elf", False),
        ("attached", "", True),
        ("offline", "remote.elf", False),
    ],
)
def test_a_remote_is_started_once_it_runs_what_it_should(
    machine: Machine, state: str, firmware: str, done: bool
) -> None:
    assert started(machine, state, firmware=firmware).check() is done


def test_what_starting_a_remote_changed_is_put_back(machine: Machine) -> None:
    step = started(machine, "offline", "setup", "new.elf")
    machine.write("/lib/firmware/new.elf", b"\x7fELF")
    plan = step.plan()
    assert plan == {"node": "/remote", "firmware": "remote.elf", "served": False, "log": None}
    log(machine, 700)
    assert step.plan()["log"] == 702
    step.do()
    assert was_written(machine, "start")
    assert machine.host.read_text(FIRMWARE).startswith("new.elf")
    machine.write(STATE, "running\n")
    machine.write(FIRMWARE, "new.elf\n")
    assert step.undo(machine.host, plan)
    assert was_written(machine, "stop")
    assert machine.host.read_text(FIRMWARE).startswith("remote.elf")
    assert not step.undo(machine.host, {"node": "/gone", "firmware": ""})
