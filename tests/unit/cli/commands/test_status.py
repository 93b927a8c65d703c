# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl status``."""

from __future__ import annotations

import json
import struct

import pytest
from rslctl.linux import mbox
from rslctl.profile import virtio
from rslctl.virtio import report
from rslctl.virtio.registers import Register

from tests.command_line import Rslctl
from tests.unit.cli.support import on_terminal
from tests.unit.machine import Machine
from tests.unit.remotes import set_up
from tests.unit.setup.faults import with_headers


def test_status_shows_all_links(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link().with_link("rpu1", number=1, vectors=1)
    status, out, _ = rslctl("status", "--root", machine.root)
    assert status == 0
    first, second = out.split("\n\n")
    assert first.splitlines() == [
        "link rpu0",
        "  device      /dev/rsl_mbox0",
        "  transport   doorbell",
        "  memory      0x1000000 bytes (16 MiB) at 0x70000000",
        "  open files  0, so nobody reads the notifications",
        "  vector  kicks  coalesced  notifications",
        "       0     10          0             20",
        "       1     11          0             21",
        "       2     12          0             22",
        "       3     13          0             23",
    ]
    assert second.startswith("link rpu1\n")
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
    told = "\n  remote      crashed\n  stalled     the remote has not taken a kick for 40 ms\n"
    assert told in rslctl("status", "--root", machine.root)[1]


def test_bad_news_are_red_on_a_terminal_and_lines_fit_80_columns(
    machine: Machine, search_path: str
) -> None:
    set_up(machine).with_remote("crashed")
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/stalled_ms", "40\n")
    words = ("status", "--interval", "0.01", "--root", str(machine.root))
    shown = on_terminal(search_path, *words)
    assert "\x1b[1;31mcrashed\x1b[0m" in shown
    plain = on_terminal(search_path, *words, NO_COLOR="1")
    assert "\x1b[1;31m" not in plain
    lines = plain.replace("\r", "").splitlines()
    assert all(len(line) <= 80 and not line.endswith(",") for line in lines if "\x1b" not in line)


def test_a_storm_and_notifications_that_nobody_reads_are_shown(
    rslctl: Rslctl, machine: Machine
) -> None:
    machine.with_link()
    for vector, count, now in ((1, 2, ""), (2, 3, "storm"), (3, 1, "mask storm")):
        machine.write(f"{mbox.CLASS}/rsl_mbox0/vector{vector}/storms", f"{count}\n")
        machine.write(f"{mbox.CLASS}/rsl_mbox0/vector{vector}/masked", f"{now}\n")
    machine.write(f"{mbox.CLASS}/rsl_mbox0/stalled_ms", "7384512\n")
    _, out, _ = rslctl("status", "--root", machine.root)
    assert "\n  stalled     the remote has not taken a kick for 2 h 3 min\n" in out
    assert "\n  masked      for a storm, vector 2 (3), 3 (1)\n" in out
    assert "\n  storms      over by now, vector 1 (2)\n" in out
    (link,) = json.loads(rslctl("status", "--json", "--root", machine.root)[1])
    assert (link["storms"], link["storming"]) == ([0, 2, 3, 1], [2, 3])


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (40, "40 ms"),
        (10_000, "10 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_384_512, "2 h 3 min"),
    ],
)
def test_times_are_for_people(milliseconds: int, text: str) -> None:
    assert mbox.duration(milliseconds) == text


def test_virtio_devices_are_shown(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    with_headers(
        machine,
        {8: 4, 0x70: 7},
        {8: 19, 0x10: 0x31000002, 0x20: 0x2, 0x70: 7},
        {8: 1, 0x70: 0x47, 4: 2},
        {8: 41},
    )
    with machine.path("/dev/rsl_mbox0").open("r+b") as file:
        file.seek(virtio.HEADER_SIZE + Register.REPORT)
        queues = [(0x0100_0080, 0x20000, 0x21000), (0x0201_0040, 0x22000, 0x23001)]
        head = (report.MAGIC, report.AWAY, 0, 0, 0, 0, 2, 0)
        file.write(struct.pack("<14I", *head, *queues[0], *queues[1]))
        for at, index in ((0x20002, 130), (0x21002, 2), (0x22002, 7)):
            file.seek(at)
            file.write(struct.pack("<H", index))
    status, out, _ = rslctl("status", "--root", machine.root)
    assert status == 0
    assert out.splitlines()[-8:] == [
        "  virtio  id  version  features not taken  state",
        "  rng      4        1  none                running",
        "  vsock   19        1  24,28,29            away",
        "  net      1        2  -                   broken",
        "  device  41        1  -                   offered",
        "  virtio  queue  size  vector  available  used",
        "  vsock       0   128       1        130     2",
        "  vsock       1    64       2          7     -",
    ]
    (link,) = json.loads(rslctl("status", "--json", "--root", machine.root)[1])
    assert [each["state"] for each in link["virtio"]] == ["running", "away", "broken", "offered"]
    assert link["virtio"][1] == {
        "name": "vsock",
        "kind": "vsock",
        "header": 0x200,
        "device_id": 19,
        "version": 1,
        "status": 7,
        "state": "away",
        "features_offered": 0x31000002,
        "features_taken": 2,
        "queues": [
            {"queue": 0, "size": 128, "vector": 1, "available": 130, "used": 2},
            {"queue": 1, "size": 64, "vector": 2, "available": 7, "used": None},
        ],
    }


def test_a_link_without_virtio_devices_shows_none(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    assert "virtio" not in rslctl("status", "--root", machine.root)[1]
    (link,) = json.loads(rslctl("status", "--json", "--root", machine.root)[1])
    assert link["virtio"] == []
    machine.path("/dev/rsl_mbox0").unlink()
    (link,) = json.loads(rslctl("status", "--json", "--root", machine.root)[1])
    assert link["virtio"] is None


def test_devices_that_need_somebody_are_coloured(machine: Machine, search_path: str) -> None:
    machine.with_link()
    with_headers(machine, {8: 4, 0x70: 0x47})
    shown = on_terminal(search_path, "status", "--root", str(machine.root))
    assert "\x1b[1;31mbroken\x1b[0m" in shown
