# SPDX-License-Identifier: BSD-3-Clause
"""What the machine refuses to setup: told by setup and by the doctor, each with its remedy."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from rslctl.linux import mbox, syscalls
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import MAGIC, Remote

BOARD = ("--board", "qemu-virt")
ENFORCED = Path("/sys/module/module/parameters/sig_enforce")


def findings(rslctl: Rslctl, *arguments: str) -> dict[str, dict[str, str]]:
    found = json.loads(rslctl("doctor", *arguments, "--json")[1])
    return {each["check"]: each for each in found}


def test_a_run_that_is_read_only(rslctl: Rslctl) -> None:
    syscalls.mount("/run", "/run", None, syscalls.MS_BIND)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", "/run"], check=True)
        assert findings(rslctl, *BOARD)["run"]["level"] == "error"
        status, out, err = rslctl("setup", *BOARD)
        assert (status, out) == (1, "")
        assert "Read-only file system\nhint: mount a tmpfs there" in err
        # As the hint says.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], check=True)
        assert "run" not in findings(rslctl, *BOARD)
        assert rslctl("setup", *BOARD)[0] == 0
        assert rslctl("teardown")[0] == 0
        subprocess.run(["umount", "/run"], check=True)
    finally:
        subprocess.run(["umount", "/run"], check=True)


def test_another_board_than_the_one_that_is_named(rslctl: Rslctl) -> None:
    (found,) = findings(rslctl, "--board", "zcu102").values()
    assert (found["check"], found["remedy"]) == (
        "board",
        "give the board that it is: --board qemu-virt",
    )
    assert "this machine is not board 'zcu102'" in rslctl("setup", "--board", "zcu102")[2]


def test_kicks_that_nobody_answers(rslctl: Rslctl) -> None:
    """A doorbell says nothing of whether a kick was taken, as a controller that is done at once."""
    assert rslctl("setup", *BOARD)[0] == 0
    assert "stalled" not in findings(rslctl)
    remote = Remote(mbox.pick(Host(), "rpu0"))
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
    try:
        remote.answer(0)
        assert rslctl("kick", "3")[0] == 0
        status, out, _ = rslctl("doctor")
        assert status == 1
        assert re.search("error: stalled: rpu0: [0-9]+ kicks and never a notification", out)
        remote.answer(0xF)
        assert rslctl("kick", "3")[0] == 0
        Remote.until(lambda: "stalled" not in findings(rslctl), "an answer was not counted")
    finally:
        remote.answer(0xF)
        remote.close()
        assert rslctl("teardown")[0] == 0


def test_a_module_that_is_not_signed(rslctl: Rslctl) -> None:
    """The last: the kernel does not take the setting back."""
    if not ENFORCED.exists():
        pytest.skip("this kernel does not know signatures")
    assert "signature" not in findings(rslctl, *BOARD)
    ENFORCED.write_text("Y")
    found = findings(rslctl, *BOARD)["signature"]
    assert found["text"].endswith("signed (module.sig_enforce), and rsl_mbox is not")
    status, _, err = rslctl("setup", *BOARD)
    assert status == 1
    assert "could not insert 'rsl_mbox': Key was rejected by service" in err
    assert f"hint: {found['remedy']}\n" in err
    assert not Path("/run/rslctl/rpu0.json").exists()
