# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl wait``, on a device that is a pipe."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest

from tests.command_line import Rslctl
from tests.unit.cli.support import piped
from tests.unit.machine import Machine


@pytest.fixture
def remote(machine: Machine) -> Iterator[int]:
    """A descriptor that notifies the link with the masks that are written to it."""
    with piped(machine) as fd:
        yield fd


def test_a_notification_that_comes_is_told(machine: Machine, rslctl: Rslctl, remote: int) -> None:
    threading.Timer(0.1, os.write, (remote, b"\x0a\0\0\0")).start()
    status, out, err = rslctl("wait", "--timeout", "30", "--root", machine.root)
    assert (status, out) == (0, "rpu0: notified on vector 1\nrpu0: notified on vector 3\n")
    assert err == "rslctl: waiting for any vector of link rpu0\n"


def test_one_vector_is_waited_for_whatever_else_comes(
    machine: Machine, rslctl: Rslctl, remote: int
) -> None:
    for mask in (b"\x01\0\0\0", b"\x02\0\0\0", b"\x0c\0\0\0"):
        os.write(remote, mask)
    status, out, err = rslctl("wait", "3", "--json", "--timeout", "30", "--root", machine.root)
    assert (status, json.loads(out)) == (0, {"link": "rpu0", "vectors": [3]})
    assert err == "rslctl: waiting for vector 3 of link rpu0\n"


@pytest.mark.parametrize("timeout", ["0", "0.05"])
def test_what_does_not_come_in_time_ends_with_4(
    machine: Machine, rslctl: Rslctl, remote: int, timeout: str
) -> None:
    os.write(remote, b"\x01\0\0\0")
    status, out, err = rslctl("wait", "2", "--timeout", timeout, "--root", machine.root)
    assert (status, out) == (4, "")
    assert err.endswith(f"rslctl: no notification on link 'rpu0' in {timeout} s\n")
