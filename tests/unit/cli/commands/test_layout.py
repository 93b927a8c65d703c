# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl layout``: the budget of the shared memory."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.command_line import Rslctl

#: What the published demonstration of the daemon and Zephyr has, in its own arrangement.
DEMO = ("layout", "--board", "zcu102")


def test_the_arrangement_is_the_daemons(rslctl: Rslctl) -> None:
    """With --no-dtb headers are in a row; with a device tree they begin their regions."""
    document = json.loads(rslctl(*DEMO, "--json")[1])
    assert document["memory"] == {"base": 0x37000000, "size": 0x1000000}
    assert [each["header"] for each in document["devices"]] == [0x37000000, 0x37000200]
    document = json.loads(rslctl(*DEMO, "--dtb", "--json")[1])
    assert [each["header"] for each in document["devices"]] == [0x37010000, 0x37016000]
    assert document["head"] == {"what": "device tree", "base": 0x37000000, "size": 0x10000}


def test_the_parts_follow_each_other_and_leave_the_rest(rslctl: Rslctl) -> None:
    kinds = ("rng", "console", "9p", "net", "vsock")
    arguments = [word for kind in kinds for word in ("--device", kind)]
    document = json.loads(rslctl(*DEMO, *arguments, "--json")[1])
    regions = [each["region"] for each in document["devices"]]
    assert [each["size"] for each in regions] == [0x6000, 0x6000, 0x6000, 0x80000, 0x10000]
    for before, after in itertools.pairwise(regions):
        assert before["base"] + before["size"] == after["base"]
    kept = document["remote_dt"]["size"]
    used = regions[-1]["base"] + regions[-1]["size"] - document["memory"]["base"]
    assert document["free"] == 0x1000000 - used - kept
    for each in document["devices"]:
        header = 0x200 if each["header"] == each["region"]["base"] else 0
        taken = each["queues"] * each["queue_bytes"] + header
        assert each["buffers"] == each["region"]["size"] - taken >= 0


def test_the_table_names_every_part(rslctl: Rslctl) -> None:
    status, out, _ = rslctl(*DEMO)
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[4][:7] == ["net", "0x37016000", "0x80000", "0x37000200", "3", "of", "256"]
    assert [row[0] for row in rows[2:]] == ["headers", "rng", "net", "remote-dt", "free"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--device", "disk"], 2, "rslctl: --device: 'disk' is not one of net, console, rng, 9p, "),
        (["--link", "x"], 1, "rslctl: board 'zcu102' has no link 'x'"),
    ],
)
def test_a_wrong_argument_is_named(
    rslctl: Rslctl, arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = rslctl(*DEMO, *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith(message)
