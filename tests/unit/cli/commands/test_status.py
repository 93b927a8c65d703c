# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl status``."""

from __future__ import annotations

import json

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.remotes import set_up


def test_status_shows_all_links(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link().with_link("rpu1", number=1, vectors=1)
    status, out, _ = rslctl("status", "--root", machine.root)
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:3] == ["link", "rpu0:", "/dev/rsl_mbox0,"]
    assert ["3", "13", "0", "23"] in lines
    status, out, _ = rslctl("status", "--root", machine.root, "--json")
    assert [(each["name"], each["vectors"]) for each in json.loads(out)] == [
        ("rpu0", 4),
        ("rpu1", 1),
    ]


def test_status_without_a_link_ends_with_1(rslctl: Rslctl, machine: Machine) -> None:
    status, out, err = rslctl("status", "--root", machine.root, "--json")
    assert (status, json.loads(out)) == (1, [])
    assert "no link is up" in err


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
