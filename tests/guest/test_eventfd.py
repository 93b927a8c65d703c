# SPDX-License-Identifier: BSD-3-Clause
"""Eventfds bound to vectors, on real interrupts."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import select
from collections.abc import Iterator

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import unbind

NOTIFY, KICK = uapi.NOTIFY, uapi.KICK


@pytest.fixture
def fd(link: mbox.LinkDevice) -> Iterator[int]:
    number = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    yield number
    os.close(number)


@pytest.fixture
def eventfd() -> Iterator[int]:
    number = os.eventfd(0, os.EFD_NONBLOCK)
    yield number
    os.close(number)


def bind(fd: int, vector: int, direction: int, eventfd: int, padding: int = 0) -> None:
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(vector, direction, eventfd, padding))


def unbind_eventfd(fd: int, vector: int, direction: int, eventfd: int = -1) -> None:
    fcntl.ioctl(fd, uapi.IOC_UNBIND, uapi.BINDING.pack(vector, direction, eventfd, 0))


def readable(fd: int, timeout: float = 10) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


def raises(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def kicks(link: mbox.LinkDevice, vector: int) -> int:
    return mbox.counters(Host(), link)[vector].kicks


def test_sysfs_tells_which_vectors_have_eventfds(link: mbox.LinkDevice, fd: int) -> None:
    def bound(vector: int) -> str:
        return Host().read_text(f"{mbox.CLASS}/{link.device}/vector{vector}/bound")

    assert [bound(n) for n in range(4)] == [""] * 4
    eventfds = [os.eventfd(0) for _ in range(2)]
    bind(fd, 1, KICK, eventfds[0])
    assert [bound(n) for n in range(4)] == ["", "kick", "", ""]
    bind(fd, 1, NOTIFY, eventfds[1])
    assert bound(1) == "notify kick"
    unbind_eventfd(fd, 1, KICK)
    assert bound(1) == "notify"
    os.close(eventfds[1])
    Remote.until(lambda: not bound(1), "a closed eventfd stays bound")
    os.close(eventfds[0])


@pytest.mark.parametrize("vector", range(4))
def test_a_notification_signals_its_eventfd(fd: int, eventfd: int, vector: int) -> None:
    bind(fd, vector, NOTIFY, eventfd)
    os.write(fd, uapi.MASK.pack(0b1111 & ~(1 << vector)))
    assert not readable(eventfd, 0.3)
    os.write(fd, uapi.MASK.pack(1 << vector))
    assert readable(eventfd)
    assert os.eventfd_read(eventfd) == 1


@pytest.mark.parametrize("vector", range(4))
def test_a_signal_on_an_eventfd_kicks_its_vector(fd: int, eventfd: int, vector: int) -> None:
    bind(fd, vector, KICK, eventfd)
    os.eventfd_write(eventfd, 5)
    assert readable(fd)
    assert os.read(fd, 4) == uapi.MASK.pack(1 << vector)
    # The kernel consumed the signal.
    assert not readable(eventfd, 0)


@pytest.mark.parametrize("count", [1, 2**64 - 2])
def test_an_eventfd_that_is_signalled_already_kicks_at_once(
    fd: int, eventfd: int, count: int
) -> None:
    os.eventfd_write(eventfd, count)
    bind(fd, 2, KICK, eventfd)
    assert readable(fd)
    assert os.read(fd, 4) == uapi.MASK.pack(4)
    assert not readable(eventfd, 0)


def test_the_end_of_a_binding_takes_nothing_from_its_reader(fd: int, eventfd: int) -> None:
    bind(fd, 0, NOTIFY, eventfd)
    bind(fd, 1, NOTIFY, eventfd)
    os.write(fd, uapi.MASK.pack(1))
    assert readable(eventfd)
    bind(fd, 0, NOTIFY, eventfd)
    unbind_eventfd(fd, 0, NOTIFY)
    unbind_eventfd(fd, 1, NOTIFY)
    assert os.eventfd_read(eventfd) == 1


def test_round_trips_without_a_process_between(fd: int) -> None:
    kick, notify = os.eventfd(0), os.eventfd(0)
    bind(fd, 1, KICK, kick)
    bind(fd, 1, NOTIFY, notify)
    for _ in range(1000):
        os.eventfd_write(kick, 1)
        assert readable(notify)
        assert os.eventfd_read(notify) == 1
    os.close(kick)
    os.close(notify)


def test_bindings_outlive_the_file_that_made_them(link: mbox.LinkDevice, eventfd: int) -> None:
    fd = os.open(link.node, os.O_RDWR)
    notify = os.eventfd(0)
    bind(fd, 3, KICK, eventfd)
    bind(fd, 3, NOTIFY, notify)
    os.close(fd)
    os.eventfd_write(eventfd, 1)
    assert readable(notify)
    os.close(notify)


def test_the_last_close_of_the_eventfd_ends_the_binding(link: mbox.LinkDevice, fd: int) -> None:
    eventfd = os.eventfd(0)
    bind(fd, 0, KICK, eventfd)
    other = os.dup(eventfd)
    os.close(eventfd)
    before = kicks(link, 0)
    os.eventfd_write(other, 1)
    assert kicks(link, 0) == before + 1
    os.close(other)

    def gone() -> bool:
        try:
            unbind_eventfd(fd, 0, KICK)
        except OSError as error:
            return error.errno == errno.ENOENT
        return False

    Remote.until(gone, "the binding is still there")


def test_unbinding_ends_it(link: mbox.LinkDevice, fd: int, eventfd: int) -> None:
    bind(fd, 0, KICK, eventfd)
    unbind_eventfd(fd, 0, KICK)
    before = kicks(link, 0)
    os.eventfd_write(eventfd, 1)
    assert kicks(link, 0) == before
    with raises(errno.ENOENT):
        unbind_eventfd(fd, 0, KICK)


def test_a_new_binding_takes_the_place_of_the_old(fd: int, eventfd: int) -> None:
    second = os.eventfd(0)
    bind(fd, 0, NOTIFY, eventfd)
    bind(fd, 0, NOTIFY, second)
    os.write(fd, uapi.MASK.pack(1))
    assert readable(second)
    assert not readable(eventfd, 0)
    os.close(second)


def test_the_end_of_the_device_ends_its_bindings(
    link: mbox.LinkDevice, fd: int, eventfd: int
) -> None:
    bind(fd, 0, KICK, eventfd)
    bind(fd, 0, NOTIFY, eventfd)
    unbind()
    os.eventfd_write(eventfd, 1)
    assert os.eventfd_read(eventfd) == 1
    with raises(errno.ENODEV):
        bind(fd, 0, KICK, eventfd)


def test_a_binding_keeps_the_module_loaded(link: mbox.LinkDevice, eventfd: int) -> None:
    def references() -> int:
        with open("/sys/module/rsl_mbox/refcnt") as file:
            return int(file.read())

    fd = os.open(link.node, os.O_RDWR)
    before = references()
    bind(fd, 0, NOTIFY, eventfd)
    assert references() == before + 1
    os.close(fd)
    assert references() == 1
    fd = os.open(link.node, os.O_RDWR)
    unbind_eventfd(fd, 0, NOTIFY)
    assert references() == before
    os.close(fd)


def test_bad_bindings_are_refused(fd: int, eventfd: int, link: mbox.LinkDevice) -> None:
    reader, writer = os.open(link.node, os.O_RDONLY), os.open(link.node, os.O_WRONLY)
    closed = os.dup(reader)
    os.close(closed)
    for arguments, number in (
        ((fd, 4, NOTIFY, eventfd), errno.EINVAL),
        ((fd, 0, 2, eventfd), errno.EINVAL),
        ((fd, 0, NOTIFY, eventfd, 1), errno.EINVAL),
        ((fd, 0, NOTIFY, reader), errno.EINVAL),
        ((fd, 0, NOTIFY, closed), errno.EBADF),
        ((fd, 0, NOTIFY, -1), errno.EBADF),
        *(
            ((only, 0, direction, eventfd), errno.EBADF)
            for only in (reader, writer)
            for direction in (NOTIFY, KICK)
        ),
    ):
        with raises(number):
            bind(*arguments)
    with raises(errno.EINVAL):
        unbind_eventfd(fd, 0, NOTIFY, eventfd)
    os.close(reader)
    os.close(writer)


def test_stat_tells_counts_and_time(fd: int) -> None:
    os.write(fd, uapi.MASK.pack(2))
    # The remote may still answer what an earlier test asked of another vector.
    seen = 0
    while not seen & 2:
        assert readable(fd)
        seen |= uapi.MASK.unpack(os.read(fd, 4))[0]
    buffer = bytearray(uapi.VECTOR_STAT.pack(1, 0, 0, 0, 0, 0, 0, 0, 0))
    fcntl.ioctl(fd, uapi.IOC_STAT, buffer)
    vector, _, kicked, coalesced, notified, at, *reserved = uapi.VECTOR_STAT.unpack(buffer)
    assert (vector, coalesced, reserved) == (1, 0, [0, 0, 0])
    assert min(kicked, notified, at) > 0
    for vector, padding in ((4, 0), (0, 1)):
        with raises(errno.EINVAL):
            fcntl.ioctl(
                fd, uapi.IOC_STAT, uapi.VECTOR_STAT.pack(vector, padding, 0, 0, 0, 0, 0, 0, 0)
            )


def test_two_processes_bind_and_close_the_same_vector_at_once(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    remote.flood(0b1, 200_000, 500)

    def churn() -> None:
        for _ in range(300):
            fd = os.open(link.node, os.O_RDWR)
            first, second = os.eventfd(0), os.eventfd(0)
            bind(fd, 0, NOTIFY, first)
            bind(fd, 0, KICK, second)
            os.eventfd_write(second, 1)
            os.close(first)
            os.close(fd)
            os.close(second)

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=churn) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    Remote.until(lambda: remote.flood_left() == 0, "the flood does not end")
