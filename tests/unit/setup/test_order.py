# SPDX-License-Identifier: BSD-3-Clause
"""The order of start and stop: what is refused, and when."""

from __future__ import annotations

import json
import threading
import time

import pytest
from rslctl.errors import RslError
from rslctl.setup import order

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import FIRMWARE, OPEN_FILES, STATE, set_up, was_written
from tests.unit.setup.faults import log, restarted
from tests.unit.setup.support import ivshmem_up


def test_a_remote_starts_once_its_daemon_has_the_link_open(
    machine: Machine, rslctl: Rslctl
) -> None:
    set_up(machine).with_remote("offline")
    start = ("remote", "start", "--root", machine.root)
    status, _, err = rslctl(*start, "--timeout", "0.1")
    assert status == 4
    assert err == (
        "rslctl: waiting until a daemon has link rpu0 open, up to 0.1 s (--timeout)\n"
        "rslctl: no daemon has link 'rpu0' open after 0.1 s\n"
        "hint: start the daemon first, or give a slow one more time with --timeout; --force "
        "starts the remote without one\n"
    )
    assert machine.host.read_text(STATE) == "offline"
    threading.Timer(0.2, lambda: machine.write(OPEN_FILES, "1\n")).start()
    status, out, err = rslctl(*start)
    assert (status, err.count("waiting until"), "up to 30 s" in err) == (0, 1, True)
    assert was_written(machine, "start")
    assert out == "rpu0: remoteproc0 (/remote): started\n"


@pytest.mark.parametrize("facts", [{"start": "setup"}, {"start": "daemon"}])
def test_a_remote_that_needs_no_daemon_starts_without(
    machine: Machine, rslctl: Rslctl, facts: dict[str, str]
) -> None:
    set_up(machine, **facts).with_remote("offline")
    force = [] if facts["start"] == "setup" else ["--force"]
    assert rslctl("remote", "start", *force, "--root", machine.root)[0] == 0
    assert was_written(machine, "start")


def test_a_daemon_is_stopped_before_its_remote(machine: Machine, rslctl: Rslctl) -> None:
    set_up(machine).with_remote("running")
    machine.write(OPEN_FILES, "2\n")
    stop = ("remote", "stop", "--root", machine.root)
    status, _, err = rslctl(*stop)
    assert status == 1
    assert "link 'rpu0' is in use: it is open 2 times" in err
    assert machine.host.read_text(STATE) == "running"
    assert rslctl(*stop, "--force")[0] == 0
    assert was_written(machine, "stop")


def test_a_crashed_remote_is_not_started_before_it_was_stopped(
    machine: Machine, rslctl: Rslctl
) -> None:
    set_up(machine).with_remote("crashed")
    machine.write(OPEN_FILES, "1\n")
    status, _, err = rslctl("remote", "start", "--root", machine.root)
    assert status == 1
    assert "remoteproc0 has crashed" in err
    assert "stop its daemon, then: rslctl remote stop" in err
    assert machine.host.read_text(STATE) == "crashed"


def test_what_was_started_is_put_back_by_stop_and_by_teardown(
    machine: Machine, rslctl: Rslctl
) -> None:
    set_up(machine, firmware="new.elf").with_remote("offline")
    machine.write(OPEN_FILES, "1\n")
    machine.write("/lib/firmware/new.elf", b"")
    assert rslctl("remote", "start", "--root", machine.root)[0] == 0
    assert machine.host.read_text(FIRMWARE).startswith("new.elf")
    (entry,) = json.loads(machine.host.read("/run/rslctl/rpu0.json"))["entries"]
    assert (entry["step"], entry["plan"]["firmware"]) == ("remote", "remote.elf")
    machine.write(OPEN_FILES, "0\n")
    machine.write(STATE, "running\n")
    machine.write(FIRMWARE, "new.elf\n")
    assert rslctl("remote", "stop", "--root", machine.root)[0] == 0
    assert machine.host.read_text(FIRMWARE).startswith("remote.elf")
    assert json.loads(machine.host.read("/run/rslctl/rpu0.json"))["entries"] == []


def test_a_remote_that_ran_before_its_daemon_is_not_taken_for_started(
    machine: Machine, rslctl: Rslctl
) -> None:
    set_up(machine).with_remote("running")
    machine.write(OPEN_FILES, "1\n")
    status, _, err = rslctl("remote", "start", "--root", machine.root)
    assert status == 1
    assert "remoteproc0 runs already, and maybe since before its daemon did" in err
    status, out, _ = rslctl("remote", "start", "--force", "--root", machine.root)
    assert (status, out) == (0, "rpu0: remoteproc0 (/remote): already running\n")


def test_a_remote_that_somebody_started_again_is_not_taken_for_started(
    machine: Machine, rslctl: Rslctl
) -> None:
    restarted(set_up(machine))
    status, _, err = rslctl("remote", "start", "--root", machine.root)
    assert status == 1
    assert "remoteproc0 was started again under its daemon, and not by rslctl" in err
    log(machine, 700)
    status, out, _ = rslctl("remote", "start", "--root", machine.root)
    assert (status, out) == (0, "rpu0: remoteproc0 (/remote): already running\n")


def test_watching_ends_with_the_remote(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(machine).with_remote("running")
    monkeypatch.setattr(order, "_WATCH_INTERVAL", 0.01)
    # The kernel's own change is no write to the file.
    threading.Timer(0.1, lambda: machine.host.put(STATE, b"crashed\n")).start()
    assert order.watch(machine.host, order.of(machine.host, "rpu0"), print) == "crashed"
    # One that does not run is not waited for.
    assert order.watch(machine.host, order.of(machine.host, "rpu0"), print) == "crashed"


def test_watching_ends_when_somebody_restarts_the_remote(machine: Machine) -> None:
    set_up(machine).with_remote("running")
    began = time.monotonic()
    threading.Timer(0.1, lambda: machine.path(STATE).write_text("running\n")).start()
    order.watch(machine.host, order.of(machine.host, "rpu0"), print)
    assert time.monotonic() - began < 60


def test_watching_ends_when_the_device_was_made_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(machine).with_remote("running")
    monkeypatch.setattr(order, "_WATCH_INTERVAL", 0.01)
    # A driver that is unbound and bound again: the file is another, and nobody wrote to it.
    threading.Timer(0.1, lambda: machine.host.put(STATE, b"running\n")).start()
    assert order.watch(machine.host, order.of(machine.host, "rpu0"), print) == "running"
    threading.Timer(0.1, lambda: machine.host.remove(STATE)).start()
    with pytest.raises(RslError, match=r"cannot read .*/state': No such file"):
        order.watch(machine.host, order.of(machine.host, "rpu0"), print)


def test_another_virtual_machine_boots_by_itself(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_ivshmem()
    ivshmem_up(machine)
    status, _, err = rslctl("remote", "start", "--root", machine.root)
    assert (status, "hint: it is another virtual machine, which boots by itself" in err) == (
        1,
        True,
    )
