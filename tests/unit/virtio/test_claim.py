# SPDX-License-Identifier: BSD-3-Clause
"""One process at a time for the devices of a link, by real locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.virtio import claim

from tests.unit.virtio.links import Module, played
from tests.unit.virtio.remote_side import serving


@contextlib.contextmanager
def opened_anew(link: client.Link) -> Iterator[client.Link]:
    """The same link with a memory that was opened anew, as each ``rslctl run`` does it."""
    fds = {name: os.dup(fd) for name, fd in link.fds.items() if name != "shmem"}
    fds["shmem"] = os.open(f"/proc/self/fd/{link.fds['shmem']}", os.O_RDWR | os.O_CLOEXEC)
    manifest = {**json.loads(json.dumps(link.manifest)), "descriptors": [*fds]}
    with client.Link._of([*fds.items()], manifest) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_PATIENCE", 0.2)


def test_a_second_service_is_refused_and_the_first_goes_on() -> None:
    with played("rng", version=2) as (link, other), opened_anew(other) as second, serving(link):
        with (
            pytest.raises(RslError, match="another process serves the devices of link") as caught,
            serving(second),
        ):
            pass
        assert caught.value.hint.startswith("end it")
        assert other.memory[:4] == b"virt"


def test_a_claim_ends_with_the_descriptors_and_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with played("rng", version=2) as (link, other):
        first = contextlib.ExitStack()
        with opened_anew(other) as second:
            claim.claim(first.enter_context(opened_anew(link)))
            with pytest.raises(RslError, match="another process serves"):
                claim.claim(second)
            monkeypatch.setattr(time, "sleep", lambda _: first.close())
            claim.claim(second)


def test_links_with_one_inode_are_claimed_one_by_one() -> None:
    with played("rng", version=2) as (link, other), opened_anew(other) as second:
        claim.claim(link)
        second.manifest["memory"]["base"] += 0x1000000
        claim.claim(second)


def test_where_there_is_mbox_it_is_locked_and_not_the_memory_that_back_ends_keep() -> None:
    with Module() as module, module.link() as link:
        claim.claim(link)
        with opened_anew(link) as second:
            claim.claim(second)  # with the same open file of mbox
            os.close(second.fds.pop("mbox"))
            claim.claim(second)


def test_a_lock_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with played("rng", version=2) as (link, _):
        monkeypatch.setattr(fcntl, "fcntl", no)
        with pytest.raises(RslError, match="claim the devices of link 'rpu0': No locks available"):
            claim.claim(link)
