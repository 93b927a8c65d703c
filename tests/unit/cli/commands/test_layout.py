# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl layout``: the budget of the shared memory."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

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


def test_version_2_has_the_arrangement_without_a_device_tree(
    rslctl: Rslctl, tmp_path: Path
) -> None:
    document = json.loads(rslctl(*DEMO, "--version", "2", "--json")[1])
    assert document["version"] == 2
    assert [each["header"] for each in document["devices"]] == [0x37000000, 0x37000200]
    assert [each["queues"] for each in document["devices"]] == [1, 2]
    mine = tmp_path / "mine.toml"
    own = 'extends = "zcu102"\n[[link]]\nname = "rpu0"\nvirtio.device-tree = true\n'
    mine.write_text(own)
    first = json.loads(rslctl("layout", "--board", mine, "--json")[1])
    assert (first["version"], first["head"]["what"]) == (1, "device tree")
    second = json.loads(rslctl("layout", "--board", mine, "--version", "2", "--json")[1])
    assert (second["version"], second["head"]["what"]) == (2, "headers")


def test_the_options_of_a_device_are_its_size(rslctl: Rslctl) -> None:
    words = ("blk,socket=/run/disk,region=0x100000", "device,id=34,queues=2,queue-size=16")
    arguments = [each for word in words for each in ("--device", word)]
    document = json.loads(rslctl(*DEMO, *arguments, "--json")[1])
    disk, other = document["devices"]
    assert (disk["kind"], disk["device_id"]) == ("blk", 2)
    assert disk["region"] == {"base": 0x37010000, "size": 0x100000}
    assert (other["kind"], other["device_id"], other["queue_size"]) == ("device", 34, 16)
    assert other["region"] == {"base": 0x37110000, "size": 0x400000}


def test_the_table_names_every_part(rslctl: Rslctl) -> None:
    status, out, _ = rslctl(*DEMO)
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[4][:7] == ["net", "0x37016000", "0x80000", "0x37000200", "3", "of", "256"]
    assert [row[0] for row in rows[2:]] == ["headers", "rng", "net", "remote-dt", "free"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--device", "disk"], 2, "rslctl: --device: 'disk' is not one of net, blk, console, r"),
        (["--device", "vsock,cid=1"], 2, "rslctl: --device: 'vsock,cid=1': 'cid=1' is not cid=V"),
        (
            ["--version", "2", "--dtb"],
            2,
            "rslctl: --dtb: version 2 has no device tree\nhint: add --version 1\n",
        ),
        (
            ["--device", "console,region=4096"],
            1,
            "rslctl: link 'rpu0': 'console,region=4096': its 2 queues of 128 do not fit into its "
            "region of 0x1000 bytes: too small by 0x3000\nhint: make link.memory.size larger, "
            "serve fewer devices, or say another region=BYTES\n",
        ),
        (["--link", "x"], 1, "rslctl: board 'zcu102' has no link 'x'"),
    ],
)
def test_a_wrong_argument_is_named(
    rslctl: Rslctl, arguments: list[str], status: int, message: str
) -> None:
    ended, out, err = rslctl(*DEMO, *arguments)
    assert (ended, out) == (status, "")
    assert err.startswith(message)
