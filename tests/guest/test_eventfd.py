# SPDX-License-Identifier: BSD-3-Clause
"""Eventfds bound to vectors, on real interrupts."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import raises, readable, unbind

NOTIFY, KICK = uapi.NOTIFY, uapi.KICK


@pytest.fixture
def eventfd() -> Iterator[int]:
    number = os.eventfd(0, os.EFD_NONBLOCK)
    yield number
    os.close(number)


def bind(fd: int, vector: int, direction: int, eventfd: int, flags: int = 0) -> None:
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(vector, direction, eventfd, flags))


def unbind_eventfd(fd: int, vector: int, direction: int, eventfd: int) -> None:
    bind(fd, vector, direction, eventfd, uapi.BIND_DEASSIGN)


def kicks(link: mbox.LinkDevice, vector: int) -> int:
    return mbox.counters(Host(), link)[vector].kicks


def bound(link: mbox.LinkDevice, vector: int) -> tuple[int, int]:
    """How many eventfds are bound to a vector, for notifications and for kicks."""
    directory = f"{mbox.CLASS}/{link.device}/vector{vector}"
    notify, kick = (int(Host().read_text(f"{directory}/bound_{n}")) for n in ("notify", "kick"))
    return notify, kick


def test_sysfs_tells_how_many_eventfds_vectors_have(link: mbox.LinkDevice, fd: int) -> None:
    assert [bound(link, n) for n in range(4)] == [(0, 0)] * 4
    eventfds = [os.eventfd(0) for _ in range(3)]
    bind(fd, 1, KICK, eventfds[0])
    assert [bound(link, n) for n in range(4)] == [(0, 0), (0, 1), (0, 0), (0, 0)]
    bind(fd, 1, NOTIFY, eventfds[1])
    bind(fd, 1, NOTIFY, eventfds[2])
    assert bound(link, 1) == (2, 1)
    unbind_eventfd(fd, 1, KICK, eventfds[0])
    assert bound(link, 1) == (2, 0)
    os.close(eventfds[1])
    Remote.until(lambda: bound(link, 1) == (1, 0), "a closed eventfd stays bound")
    os.close(eventfds[0])
    os.close(eventfds[2])
    Remote.until(lambda: bound(link, 1) == (0, 0), "a closed eventfd stays bound")


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
    unbind_eventfd(fd, 0, NOTIFY, eventfd)
    bind(fd, 0, NOTIFY, eventfd)
    unbind_eventfd(fd, 0, NOTIFY, eventfd)
    unbind_eventfd(fd, 1, NOTIFY, eventfd)
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
    Remote.until(lambda: bound(link, 0) == (0, 0), "the binding is still there")


def test_unbinding_ends_it(link: mbox.LinkDevice, fd: int, eventfd: int) -> None:
    bind(fd, 0, KICK, eventfd)
    unbind_eventfd(fd, 0, KICK, eventfd)
    before = kicks(link, 0)
    os.eventfd_write(eventfd, 1)
    assert kicks(link, 0) == before
    with raises(errno.ENOENT):
        unbind_eventfd(fd, 0, KICK, eventfd)


@pytest.mark.parametrize("direction", [NOTIFY, KICK])
def test_a_vector_has_64_eventfds_and_no_more(
    link: mbox.LinkDevice, fd: int, direction: int
) -> None:
    eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(uapi.MAX_BINDINGS + 1)]
    last = eventfds.pop()
    for each in eventfds:
        bind(fd, 2, direction, each)
    with raises(errno.ENOSPC):
        bind(fd, 2, direction, last)
    # Another vector, and the other direction, have room.
    bind(fd, 3, direction, last)
    bind(fd, 2, 1 - direction, last)
    before = kicks(link, 2)
    if direction == NOTIFY:
        unbind_eventfd(fd, 2, KICK, last)
        os.write(fd, uapi.MASK.pack(4))
        for each in eventfds:
            assert readable(each)
            assert os.eventfd_read(each) == 1
    else:
        for each in eventfds:
            os.eventfd_write(each, 1)
        assert kicks(link, 2) == before + len(eventfds)
    # The end of one is not the end of the others, and its place is free.
    unbind_eventfd(fd, 2, direction, eventfds[0])
    bind(fd, 2, direction, eventfds[0])
    for each in [*eventfds, last]:
        os.close(each)
    Remote.until(lambda: bound(link, 2) == (0, 0), "closed eventfds stay bound")


def test_a_binding_belongs_to_its_eventfd(link: mbox.LinkDevice, fd: int, eventfd: int) -> None:
    other = os.eventfd(0)
    bind(fd, 0, NOTIFY, eventfd)
    with raises(errno.EEXIST):
        bind(fd, 0, NOTIFY, eventfd)
    # Who has the device, but not the eventfd, cannot end the binding.
    second = os.open(link.node, os.O_RDWR)
    with raises(errno.ENOENT):
        unbind_eventfd(second, 0, NOTIFY, other)
    bind(second, 0, NOTIFY, other)
    os.close(second)
    os.write(fd, uapi.MASK.pack(1))
    assert readable(eventfd)
    assert readable(other)
    with raises(errno.ENOENT):
        unbind_eventfd(fd, 0, KICK, eventfd)
    with raises(errno.ENOENT):
        unbind_eventfd(fd, 1, NOTIFY, eventfd)
    unbind_eventfd(fd, 0, NOTIFY, other)
    os.close(other)
    assert bound(link, 0) == (1, 0)


def test_a_writer_that_waits_for_room_is_let_go_by_a_binding(fd: int) -> None:
    eventfd = os.eventfd(2**32 - 1)
    os.eventfd_write(eventfd, 2**64 - 1 - 2**32)
    child = os.fork()
    if not child:
        os.eventfd_write(eventfd, 5)
        os._exit(0)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    bind(fd, 1, KICK, eventfd)
    assert os.waitpid(child, 0) == (child, 0)
    os.close(eventfd)


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
    unbind_eventfd(fd, 0, NOTIFY, eventfd)
    assert references() == before
    os.close(fd)


def test_bad_bindings_are_refused(fd: int, eventfd: int, link: mbox.LinkDevice) -> None:
    reader, writer = os.open(link.node, os.O_RDONLY), os.open(link.node, os.O_WRONLY)
    closed = os.dup(reader)
    os.close(closed)
    for arguments, number in (
        ((fd, 4, NOTIFY, eventfd), errno.EINVAL),
        ((fd, 0, 2, eventfd), errno.EINVAL),
        ((fd, 0, NOTIFY, eventfd, 2), errno.EINVAL),
        ((fd, 0, NOTIFY, eventfd, 1 << 31), errno.EINVAL),
        ((fd, 0, NOTIFY, eventfd, uapi.BIND_DEASSIGN), errno.ENOENT),
        ((fd, 0, NOTIFY, closed, uapi.BIND_DEASSIGN), errno.EBADF),
        ((fd, 0, NOTIFY, reader, uapi.BIND_DEASSIGN), errno.EINVAL),
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
    vector, _, kicked, coalesced, notified, at, *rest = uapi.VECTOR_STAT.unpack(buffer)
    assert (vector, coalesced, rest) == (1, 0, [0, 0, 0])
    assert min(kicked, notified, at) > 0
    for vector, flags in ((4, 0), (0, 1)):
        with raises(errno.EINVAL):
            fcntl.ioctl(
                fd, uapi.IOC_STAT, uapi.VECTOR_STAT.pack(vector, flags, 0, 0, 0, 0, 0, 0, 0)
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


def test_closed_eventfds_make_room_though_nobody_else_had_the_core(fd: int) -> None:
    # What ends their bindings is work of the kernel's, which a real-time process keeps waiting.
    limit = Path("/proc/sys/kernel/sched_rt_runtime_us")
    before = limit.read_text()
    limit.write_text("-1\n")
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        for _ in range(3 * uapi.MAX_BINDINGS):
            eventfd = os.eventfd(0)
            bind(fd, 0, NOTIFY, eventfd)
            os.close(eventfd)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        limit.write_text(before)
