# SPDX-License-Identifier: BSD-3-Clause
"""The eventfds between the vectors of a link and queues."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.linux import uapi
from rslctl.virtio import wiring

from tests.unit.virtio.links import Module, played


def counted(eventfd: int) -> int:
    """The count of an eventfd, which is 0 afterwards."""
    try:
        return os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    with Module() as made:
        monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
        yield made


def test_eventfds_are_bound_in_the_kernel_and_each_is_new(module: Module) -> None:
    with module.link() as link:
        wired = wiring.Wiring(link, {0: 1, 2: 2})
        assert wired.shared == {}
        notified, other, kicked = wired.notify(2), wired.notify(2), wired.kick(3)
        module.notify(2)
        assert (counted(notified), counted(other), counted(kicked)) == (1, 1, 0)
        assert module.bound == {
            (2, uapi.NOTIFY): {module.file(notified), module.file(other)},
            (3, uapi.KICK): {module.file(kicked)},
        }
        for each in (notified, other, kicked):
            assert not os.get_inheritable(each)
            assert not os.get_blocking(each)
            wired.release(each)


def test_a_back_end_that_keeps_an_eventfd_loses_its_binding(module: Module) -> None:
    with module.link() as link:
        wired = wiring.Wiring(link, {1: 1})
        for _ in range(3 * uapi.MAX_BINDINGS):
            notified = wired.notify(1)
            kept = os.dup(notified)
            wired.release(notified)
            module.notify(1)
            assert counted(kept) == 0
            os.close(kept)
        assert set().union(*module.bound.values()) == set()


def test_more_eventfds_than_a_vector_can_have_are_an_error_that_names_it(module: Module) -> None:
    with module.link() as link:
        wired = wiring.Wiring(link, {})
        made = [wired.kick(1) for _ in range(uapi.MAX_BINDINGS)]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(RslError, match="bind an eventfd to vector 1 of link 'rpu0'") as error:
            wired.kick(1)
        assert "64 eventfds at most" in error.value.hint
        assert len(os.listdir("/proc/self/fd")) == before
        for each in made:
            wired.release(each)


def test_more_queues_than_a_vector_can_have_eventfds_are_refused_at_once(module: Module) -> None:
    with module.link() as link:
        wiring.Wiring(link, {0: uapi.MAX_BINDINGS, 1: 1})
        told = "vector 1 of link 'rpu0' needs 65 eventfds, one for each queue that has it, and can "
        with pytest.raises(RslError, match=told) as raised:
            wiring.Wiring(link, {0: 1, 1: uapi.MAX_BINDINGS + 1})
        assert raised.value.hint.startswith("serve fewer devices")
    # Eventfds of a link that was given as such are this process's own.
    with played("rng") as (link, _):
        wiring.Wiring(link, {0: 1, 1: uapi.MAX_BINDINGS + 1})


def test_a_kick_and_a_barrier_are_writes_to_the_device(module: Module) -> None:
    with module.link() as link:
        wired = wiring.Wiring(link, {})
        wired.barrier()
        wired.ring()
        assert module.written() == [0, 1]


def test_a_link_that_is_gone_is_told_whatever_is_asked(module: Module) -> None:
    with module.link() as link:
        wired = wiring.Wiring(link, {})
        kept = wired.notify(0)
        module.remove()
        for use, vector in ((wired.notify, 0), (wired.kick, 1)):
            with pytest.raises(client.GoneError, match="link 'rpu0' went away"):
                use(vector)
        wired.release(kept)


def test_a_vector_of_one_queue_is_that_queues_where_the_link_is_eventfds() -> None:
    with played(vectors=4) as (link, remote):
        wired = wiring.Wiring(link, {0: 1, 1: 1})
        notified, kicked = wired.notify(1), wired.kick(1)
        assert wired.shared == {}
        remote.kick(1)
        assert counted(notified) == 1
        wiring.signal(kicked)
        assert remote.wait(30) == [1]
        wired.release(notified)
        again = wired.notify(1)
        remote.kick(1)
        assert counted(again) == 1
        wired.release(again)
        wired.release(kicked)


def test_a_vector_of_several_queues_is_passed_on_to_each() -> None:
    with played(vectors=1) as (link, remote):
        wired = wiring.Wiring(link, {0: 3})
        made = [wired.notify(0), wired.notify(0)]
        assert wired.shared == {link.fds["notify0"]: 0}
        wired.pass_on(0)
        assert [counted(each) for each in made] == [0, 0]
        remote.kick(0)
        wired.pass_on(0)
        assert [counted(each) for each in made] == [1, 1]
        wired.release(made[0])
        remote.kick(0)
        wired.pass_on(0)
        assert counted(made[1]) == 1
        wired.release(made[1])


def test_a_full_eventfd_delays_nobody() -> None:
    with played(vectors=1) as (link, remote):
        wired = wiring.Wiring(link, {0: 2})
        made = wired.notify(0)
        os.eventfd_write(made, 2**64 - 2)
        remote.kick(0)
        wired.pass_on(0)
        assert counted(made) == 2**64 - 2
        wired.release(made)


def test_the_control_vector_is_rung_and_a_barrier_rings_only_where_nothing_else_orders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with played(vectors=2) as (link, remote):
        wired = wiring.Wiring(link, {})
        wired.ring()
        assert remote.wait(30) == [0]
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        wired.barrier()
        assert remote.wait(0) == []
        monkeypatch.setattr("platform.machine", lambda: "aarch64")
        wired.barrier()
        assert remote.wait(30) == [0]


def test_a_process_without_room_for_descriptors_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "")

    with played(vectors=1) as (link, _):
        wired = wiring.Wiring(link, {0: 2})
        monkeypatch.setattr(os, "eventfd", full)
        monkeypatch.setattr(fcntl, "fcntl", full)
        with pytest.raises(RslError, match="cannot make an eventfd: Too many open files"):
            wired.notify(0)
        with pytest.raises(RslError, match="cannot duplicate descriptor kick0"):
            wired.kick(0)
