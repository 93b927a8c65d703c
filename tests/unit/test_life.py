# SPDX-License-Identifier: BSD-3-Clause
"""The order of life: what is refused, and when."""

from __future__ import annotations

import json
import threading
import time

import pytest
from rslctl.setup import order

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import FIRMWARE, OPEN_FILES, STATE, set_up, was_written


def test_a_remote_starts_once_its_daemon_has_the_link_open(
    machine: Machine, rslctl: Rslctl
) -> None:
    set_up(machine).with_remote("offline")
    start = ("remote", "start", "--root", machine.root)
    status, _, err = rslctl(*start, "--timeout", "0.1")
    assert status == 4
    assert "no daemon has link 'rpu0' open after 0.1 s" in err
    assert machine.host.read_text(STATE) == "offline"
    threading.Timer(0.2, lambda: machine.write(OPEN_FILES, "1\n")).start()
    status, out, _ = rslctl(*start)
    assert status == 0
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


@pytest.mark.parametrize(
    ("state", "command", "result"),
    [("running", "start", "already running"), ("offline", "stop", "stopped already")],
)
def test_what_is_so_already_is_left(
    machine: Machine, rslctl: Rslctl, state: str, command: str, result: str
) -> None:
    set_up(machine, start="setup").with_remote(state)
    status, out, _ = rslctl("remote", command, "--root", machine.root, "--json")
    document = json.loads(out)
    assert (status, document["result"], document["state"]) == (0, result, state)
    assert machine.host.read_text(STATE) == state


def test_nobody_rings_a_remote_that_is_down(machine: Machine, rslctl: Rslctl) -> None:
    set_up(machine).with_remote("offline")
    status, _, err = rslctl("kick", "0", "--root", machine.root)
    assert status == 1
    assert "the remote of link 'rpu0' is offline: nobody there to be kicked" in err
    assert "rslctl remote start --link rpu0" in err
    assert machine.host.read("/dev/rsl_mbox0") == b""
    machine.write(STATE, "running\n")
    assert rslctl("kick", "0", "--root", machine.root)[0] == 0


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


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_dry_run_promises_what_can_be_done(
    machine: Machine, rslctl: Rslctl, command: str
) -> None:
    set_up(machine).with_remote("offline" if command == "start" else "running")
    machine.write(OPEN_FILES, "0\n" if command == "start" else "1\n")
    dry = ("remote", command, "--dry-run", "--root", machine.root)
    status, _, err = rslctl(*dry)
    assert (status, "link 'rpu0'" in err) == (4 if command == "start" else 1, True)
    machine.write(OPEN_FILES, "1\n" if command == "start" else "0\n")
    assert rslctl(*dry)[1].endswith(f": would {command}\n")
    assert rslctl("remote", "start", "--dry-run", "--firmware", "nix.elf", "--root", machine.root)[
        0
    ]
    machine.write(STATE, "running\n" if command == "start" else "offline\n")
    assert rslctl(*dry[:2], "--force", *dry[2:])[1].rpartition(": ")[2] in (
        "already running\n",
        "stopped already\n",
    )
    assert not machine.host.path("/run/rslctl/lock").exists()


def test_without_a_known_remote_it_is_said(machine: Machine, rslctl: Rslctl) -> None:
    start = ("remote", "start", "--root", machine.root)
    assert "no link is set up" in rslctl(*start)[2]
    set_up(machine, remoteproc="")
    status, _, err = rslctl(*start)
    assert status == 1
    assert "nothing is known to boot the remote of link 'rpu0'" in err
    assert rslctl(*start, "--if-known")[0] == 0


def test_status_tells_of_board_remote_and_rates(machine: Machine, rslctl: Rslctl) -> None:
    set_up(machine).with_remote("crashed")
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/stalled_ms", "40\n")
    status, out, _ = rslctl("status", "--root", machine.root, "--json", "--interval", "0.01")
    (document,) = json.loads(out)
    assert (status, document["board"], document["remote"]) == (0, "qemu-virt", "crashed")
    assert document["stalled_ms"] == 40
    assert document["counters"][2] == {"kicks": 12, "kicks_coalesced": 0, "notifications": 22}
    assert document["rates"][2] == {"kicks": 0.0, "kicks_coalesced": 0.0, "notifications": 0.0}
    out = rslctl("status", "--root", machine.root)[1]
    assert "remote crashed\nstalled: the remote has not taken a kick for 40 ms\n" in out


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
    threading.Timer(0.1, lambda: machine.host.path(STATE).write_text("running\n")).start()
    order.watch(machine.host, order.of(machine.host, "rpu0"), print)
    assert time.monotonic() - began < 60
