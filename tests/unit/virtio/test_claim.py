# SPDX-License-Identifier: BSD-3-Clause
"""One process at a time for the devices of a link, by real locks.

A file plays the device of a link, /dev/rsl_mboxN of rsl_mbox_fops in kmod/rsl_mbox/chardev.c. It
leaves out all that this does; a lock is not of these: fs/locks.c has it for any file that is no
network's. With the device itself: test_a_second_daemon_is_refused of tests/guest/test_virtio.py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.virtio import claim

Opener = Callable[[], client.Link]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens the same link, as each ``rslctl run`` does; the caller closes its descriptor."""
    monkeypatch.setattr(claim, "_PATIENCE", 0.2)
    device = tmp_path / "rsl_mbox0"
    device.touch()

    def open_() -> client.Link:
        fds = {"mbox": os.open(device, os.O_RDWR | os.O_CLOEXEC)}
        return cast("client.Link", SimpleNamespace(name="rpu0", fds=fds))

    return open_


def test_a_second_process_is_refused(opened: Opener) -> None:
    first, second = opened(), opened()
    claim.claim(first)
    claim.claim(first)
    with pytest.raises(RslError, match="another process serves the devices of link") as caught:
        claim.claim(second)
    assert caught.value.hint.startswith("end it")
    for each in (first, second):
        os.close(each.fds["mbox"])


def test_a_claim_ends_with_the_last_copy_and_is_waited_for(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened(), opened()
    claim.claim(first)
    copy = os.dup(first.fds["mbox"])
    os.close(first.fds["mbox"])
    with pytest.raises(RslError, match="another process serves"):
        claim.claim(second)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, copy)
        monkeypatch.setattr(time, "sleep", lambda _: stack.close())
        claim.claim(second)
    os.close(second.fds["mbox"])


def test_a_link_without_mbox_is_not_claimed() -> None:
    claim.claim(cast("client.Link", SimpleNamespace(name="rpu0", fds={"shmem": -1})))


def test_a_lock_that_cannot_be_had_is_an_error(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    link = opened()
    monkeypatch.setattr(fcntl, "fcntl", no)
    with pytest.raises(RslError, match="claim the devices of link 'rpu0': No locks available"):
        claim.claim(link)
    os.close(link.fds["mbox"])
