# SPDX-License-Identifier: BSD-3-Clause
"""An overlay of rslctl's, applied to a kernel that runs with no more than the memory reserved."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import MAGIC, Remote

BOARD = ("--board", "qemu-virt")
NODE = Path("/proc/device-tree/rsl-mbox@8020040")


@pytest.fixture(autouse=True)
def interface() -> Iterator[None]:
    subprocess.run(["modprobe", "rsl_of_configfs"], check=True)
    yield
    subprocess.run(["modprobe", "-r", "rsl_of_configfs"], check=True)
    # What the kernel says of every overlay: removing one leaks memory.
    subprocess.run(["dmesg", "-c"], stdout=subprocess.DEVNULL, check=True)


def test_an_overlay_is_applied_its_link_works_and_it_is_removed(rslctl: Rslctl) -> None:
    assert not NODE.exists()
    status, _, err = rslctl("setup", *BOARD)
    assert status == 1
    assert "/rsl-mbox@8020040: is missing" in err
    status, _, err = rslctl("overlay", "apply", *BOARD)
    assert status == 0, err
    assert NODE.exists()
    listed = json.loads(rslctl("overlay", "list", "--json")[1])
    assert "qemu-virt" in json.dumps(listed)
    status, _, err = rslctl("setup", *BOARD)
    assert status == 0, err
    with mbox.Mailbox(Host(), mbox.pick(Host(), "rpu0")) as mailbox:
        remote = Remote(mailbox.link)
        Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
        remote.answer(0xF)
        remote.close()
        mailbox.kick(4)
        assert mailbox.wait(4, 30) == 4
    assert rslctl("overlay", "remove", *BOARD)[0] == 1
    assert NODE.exists()
    assert rslctl("teardown")[0] == 0
    status, _, err = rslctl("overlay", "remove", *BOARD)
    assert status == 0, err
    assert not NODE.exists()
