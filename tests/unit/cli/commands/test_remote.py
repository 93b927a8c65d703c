# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl remote``."""

from __future__ import annotations

import json

import pytest

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import OPEN_FILES, STATE, set_up


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
    assert not machine.path("/run/rslctl/lock").exists()


def test_without_a_known_remote_it_is_said(machine: Machine, rslctl: Rslctl) -> None:
    start = ("remote", "start", "--root", machine.root)
    assert "no link is set up" in rslctl(*start)[2]
    set_up(machine, remoteproc="")
    status, _, err = rslctl(*start)
    assert status == 1
    assert "nothing is known to boot the remote of link 'rpu0'" in err
    assert rslctl(*start, "--if-known")[0] == 0
