# SPDX-License-Identifier: BSD-3-Clause
"""The mailbox transport on every controller of its table that the simulator can play.

tests/amp/styles.py makes the nodes, from rslctl's table.
"""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest.remote import Remote

NODES = Path("/proc/device-tree")
NAMES = sorted(path.name.removeprefix("link-") for path in NODES.glob("link-*"))
COUNT = 1000

#: Of these controllers; docs/reference/abi/sysfs-class-rsl_mbox. ZynqMP's are not played here.
RESETTABLE = ("sophgo,cv1800b-mailbox",)


@pytest.fixture(scope="module", autouse=True)
def modules() -> Iterator[None]:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    Remote.until(
        lambda: {link.name for link in mbox.find(Host())} >= set(NAMES), "links are missing"
    )
    yield
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)


def test_the_table_has_many_controllers() -> None:
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_only_those_can_be_reset_that_the_abi_names(name: str) -> None:
    link = mbox.pick(Host(), name)
    reset = Path(f"{mbox.CLASS}/{link.device}/reset")
    if name in RESETTABLE:
        reset.write_text("1\n")
    else:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EOPNOTSUPP):
            reset.write_text("1\n")


@pytest.mark.parametrize("name", NAMES)
def test_kicks_and_notifications_add_up_exactly(name: str) -> None:
    link = mbox.pick(Host(), name)
    rx = 4
    # One vector has a channel of its own; several are in the message.
    stride = 0 if link.vectors > 1 else 16
    numbers = [str(number) for number in (link.vectors, stride, rx, COUNT, 20261128)]
    # The remote of this test does not wait for the end of a storm.
    Path(f"{mbox.CLASS}/{link.device}/storm_limit").write_text("0\n")
    done = subprocess.run(
        ["/guest/bin/simflood", link.node, f"/dev/rsl_mbox_sim-sim-{name}", *numbers],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
