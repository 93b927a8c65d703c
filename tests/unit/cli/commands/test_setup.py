# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl setup`` and ``rslctl teardown``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rslctl.setup import steps
from rslctl.setup.journal import Journal

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.support import up, written


def test_teardown_of_a_link_that_was_not_set_up_says_so(machine: Machine, rslctl: Rslctl) -> None:
    status, out, err = rslctl("teardown", "--link", "rpu9", "--root", machine.root)
    assert (status, out) == (0, "")
    assert err == "rslctl: setup did nothing for link 'rpu9': nothing to undo\n"


def test_a_dry_teardown_says_what_the_real_one_would(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    dry = ("teardown", "--dry-run", "--root", machine.root)
    assert "owner (node /dev/rsl_mbox0" in rslctl(*dry)[1]
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/open_files", "2\n")
    status, out, err = rslctl(*dry)
    assert (status, out) == (1, "")
    assert "link 'rpu0' is in use" in err
    written(machine, "rpu1", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    out = rslctl("teardown", "--link", "rpu1", "--dry-run", "--root", machine.root)[1]
    assert out.startswith("rpu1: module (modules rsl_mbox): left to link rpu0")


def test_a_damaged_journal_of_one_link_is_not_in_the_way_of_others(
    machine: Machine, rslctl: Rslctl
) -> None:
    machine.with_device_tree().with_driver().with_link()
    machine.write("/run/rslctl/aaa.json", "{")
    machine.with_facts("aaa", board="x")
    gone = {"node": "/dev/uio9", "inode": 1, "uid": 0, "gid": 0, "mode": 0o600}
    written(machine, "rpu0", {"step": "owner", "plan": gone})
    status, out, err = rslctl("teardown", "--root", machine.root)
    assert status == 1
    assert "rpu0: owner (node /dev/uio9, " in out
    assert "aaa.json' is damaged" in err
    assert not machine.path("/run/rslctl/rpu0.json").exists()
    status, out, err = rslctl("status", "--root", machine.root)
    assert (status, "aaa.facts' is damaged" in err) == (0, True)


def test_one_link_that_fails_does_not_keep_the_others_down(
    machine: Machine, rslctl: Rslctl, tmp_path: Path
) -> None:
    machine.with_device_tree().with_driver().with_link()
    profile = tmp_path / "two.toml"
    profile.write_text(
        'extends = "qemu-virt"\n[[link]]\nname = "aaa"\n'
        "[link.memory]\nbase = 0x72000000\nsize = 0x1000\n[link.doorbell]\n"
        'register = 0x08020040\nkick-values = [90]\nspis = [90]\ntrigger = "edge-rising"\n'
    )
    status, out, err = rslctl("setup", "--board", profile, "--json", "--root", machine.root)
    assert status == 1
    assert "does not match board 'two'" in err
    assert {each["link"] for each in json.loads(out)} == {"rpu0", "aaa"}


def test_nobody_who_stops_reading_leaves_a_link_half_set_up(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rslctl", "setup", "--board", "qemu-virt"),
            *("--mode", "0640", "--root", str(machine.root)),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(theirs)
    assert "Traceback" not in done.stderr
    assert Journal.load(machine.host, "rpu0").complete
