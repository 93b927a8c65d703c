# SPDX-License-Identifier: BSD-3-Clause
"""What the tests inside the board share: the link, brought up by rslctl, and the log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.command_line import rslctl as rslctl
from tests.guest.remote import MAGIC, Remote
from tests.guest.support import BOARD, LINK

ALL = 0xFFFFFFFF


@pytest.fixture
def link(rslctl: Rslctl) -> Iterator[mbox.LinkDevice]:
    """The link, up, with a remote that answers every vector."""
    status, _, err = rslctl("setup", "--board", BOARD)
    assert status == 0, err
    found = mbox.pick(Host(), LINK)
    remote = Remote(found)
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
    remote.answer(ALL)
    remote.close()
    yield found
    status, _, err = rslctl("teardown")
    assert status == 0, err


@pytest.fixture
def fd(link: mbox.LinkDevice) -> Iterator[int]:
    """The link's device, open for all and non-blocking."""
    number = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    yield number
    os.close(number)


@pytest.fixture
def remote(link: mbox.LinkDevice) -> Iterator[Remote]:
    control = Remote(link)
    yield control
    control.close()


@pytest.fixture(autouse=True)
def quiet_kernel() -> Iterator[None]:
    """No test may leave anything in the kernel's log that is worth a warning."""

    def log() -> str:
        return subprocess.run(["dmesg", "-r"], stdout=subprocess.PIPE, text=True, check=True).stdout

    before = log()
    yield
    new = log().removeprefix(before).splitlines()
    # <0> to <4> is emergency to warning. Loading an out-of-tree module warns once, and
    # an emulator on a busy machine keeps the timer's interrupt waiting, and stops in
    # interrupt threads. Later kernels tell of the devices of a driver that no test has loaded.
    usual = (
        *("taint", "hrtimer: interrupt took", "sched: RT throttling activated"),
        "deferred probe pending",
    )
    loud = [
        line for line in new if line[1:2] in "01234" and not any(each in line for each in usual)
    ]
    assert not loud, "\n".join(loud)
