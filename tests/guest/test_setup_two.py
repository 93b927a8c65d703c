# SPDX-License-Identifier: BSD-3-Clause
"""Two links on one board, each set up, used and taken down alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl

BOARD = ("--board", "/guest/two.toml")
OVERRIDES = [
    Path("/sys/bus/platform/devices", name, "driver_override")
    for name in ("70000000.shmem", "71000000.shmem")
]


def journals() -> list[str]:
    return sorted(name for name in os.listdir("/run/rslctl") if name.endswith(".json"))


def test_each_link_comes_and_goes_alone(rslctl: Rslctl) -> None:
    assert rslctl("setup", *BOARD, "--link", "rpu0", "--mode", "0640")[0] == 0
    assert journals() == ["rpu0.json"]
    assert [each.read_text() for each in OVERRIDES] == ["uio_pdrv_genirq\n", "(null)\n"]
    assert rslctl("setup", *BOARD, "--link", "rpu1")[0] == 0
    assert journals() == ["rpu0.json", "rpu1.json"]
    status, _, err = rslctl("kick", "0")
    assert status == 1
    assert "more than one link is up: " in err
    assert rslctl("kick", "0", "--link", "rpu1")[0] == 0
    daemon = os.open(mbox.pick(Host(), "rpu1").node, os.O_RDWR)
    status, out, err = rslctl("teardown", "--link", "rpu0")
    assert status == 0, err
    assert "left to link rpu1" in out
    assert journals() == ["rpu1.json"]
    assert [each.read_text() for each in OVERRIDES] == ["(null)\n", "uio_pdrv_genirq\n"]
    assert [each.name for each in mbox.find(Host())] == ["rpu1"]
    assert mbox.pick(Host(), "rpu1").open_files == 1
    assert rslctl("teardown")[0] == 1
    os.close(daemon)
    assert rslctl("teardown")[0] == 0
    assert [each.read_text() for each in OVERRIDES] == ["(null)\n"] * 2
    assert not Path("/sys/module/rsl_mbox").exists()
    assert not Path("/sys/module/uio").exists()


def test_all_links_come_and_go_with_one_command(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("setup", *BOARD, "--json")
    assert (status, [each["link"] for each in json.loads(out)]) == (0, ["rpu0", "rpu1"])
    assert rslctl("teardown")[0] == 0
    assert journals() == []


def test_two_setups_at_once_both_do_their_work(rslctl: Rslctl) -> None:
    both = [
        subprocess.Popen(
            ["rslctl", "setup", *BOARD, "--link", name, "--timeout", "60"], stderr=subprocess.PIPE
        )
        for name in ("rpu0", "rpu1")
    ]
    said = [each.communicate(timeout=120)[1].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert journals() == ["rpu0.json", "rpu1.json"]
    assert rslctl("teardown")[0] == 0
    assert not Path("/sys/module/rsl_mbox").exists()
