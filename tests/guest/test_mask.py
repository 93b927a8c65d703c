# SPDX-License-Identifier: BSD-3-Clause
"""Masks of vectors, on real interrupts: by a file, one-shot, and of a storm."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import device_name, driver, raises, readable, unbind
from tests.guest.test_trace import events, probe, tracing

#: A fixture of other tests that is one of these, too.
__all__ = ["tracing"]

STORM = 1_000_000


@pytest.fixture
def limit(link: mbox.LinkDevice) -> Iterator[Path]:
    """The link's attribute storm_limit, which is as it was afterwards."""
    attribute = Path(f"{mbox.CLASS}/{link.device}/storm_limit")
    before = attribute.read_text()
    yield attribute
    attribute.write_text(before)


def do(fd: int, action: int, vectors: int, reserved: int = 0) -> None:
    fcntl.ioctl(fd, uapi.IOC_MASK, uapi.MASKING.pack(vectors, action, reserved))


def mask(fd: int, vectors: int) -> None:
    do(fd, uapi.DO_MASK, vectors)


def unmask(fd: int, vectors: int) -> None:
    do(fd, uapi.DO_UNMASK, vectors)


def kick(fd: int, vectors: int) -> None:
    """Kick vectors, each of which the remote answers."""
    os.write(fd, uapi.MASK.pack(vectors))


def read(fd: int) -> int:
    notified: int = uapi.MASK.unpack(os.read(fd, 4))[0]
    return notified


def notifications(link: mbox.LinkDevice, vector: int) -> int:
    return mbox.counters(Host(), link)[vector].notifications


def attribute(link: mbox.LinkDevice, vector: int, name: str) -> str:
    return Host().read_text(f"{mbox.CLASS}/{link.device}/vector{vector}/{name}")


def test_a_masked_vector_wakes_nobody_until_it_is_unmasked(
    link: mbox.LinkDevice, fd: int, remote: Remote
) -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(1, uapi.NOTIFY, eventfd, 0))
    mask(fd, 0b0010)
    assert attribute(link, 1, "masked") == "mask"
    before = notifications(link, 1)
    for _ in range(3):
        kick(fd, 0b0010)
    kick(fd, 0b0001)
    assert readable(fd)
    assert read(fd) == 0b0001
    time.sleep(0.3)
    assert not readable(fd, 0)
    assert not readable(eventfd, 0)
    # The doorbell masks the interrupt itself.
    assert notifications(link, 1) == before
    unmask(fd, 0b0010)
    assert readable(fd)
    assert read(fd) == 0b0010
    assert os.eventfd_read(eventfd) == 1
    assert (attribute(link, 1, "masked"), notifications(link, 1)) == ("", before + 1)
    assert not readable(fd, 0.2)
    os.close(eventfd)


def test_the_masks_of_a_file_end_with_it(link: mbox.LinkDevice, fd: int, remote: Remote) -> None:
    other = os.open(link.node, os.O_RDWR)
    mask(other, 0b1111)
    mask(fd, 0b0001)
    mask(fd, 0b0001)
    kick(fd, 0b0011)
    assert not readable(fd, 0.3)
    os.close(other)
    assert readable(fd)
    assert read(fd) == 0b0010
    assert not readable(fd, 0.3)
    # What a file masks twice it has masked once.
    unmask(fd, 0b0001)
    assert readable(fd)
    assert read(fd) == 0b0001


def test_an_armed_vector_fires_once_for_each_read(
    link: mbox.LinkDevice, fd: int, remote: Remote
) -> None:
    do(fd, uapi.DO_ONESHOT, 0b0001)
    before = notifications(link, 0)
    for _ in range(5):
        kick(fd, 0b0001)
        assert readable(fd)
        time.sleep(0.05)
        assert attribute(link, 0, "masked") == "oneshot"
        # More come, and cost nothing.
        for _ in range(3):
            kick(fd, 0b0001)
            time.sleep(0.02)
        taken = notifications(link, 0)
        assert read(fd) == 0b0001
        # Those that came meanwhile are one notification.
        assert readable(fd)
        assert read(fd) == 0b0001
        assert notifications(link, 0) == taken + 1
        assert attribute(link, 0, "masked") == ""
    assert notifications(link, 0) == before + 10
    do(fd, uapi.DO_CONTINUOUS, 0b0001)
    kick(fd, 0b0001)
    assert readable(fd)
    assert attribute(link, 0, "masked") == ""


def test_an_armed_vector_with_an_eventfd_fires_again_by_unmask(
    link: mbox.LinkDevice, fd: int, remote: Remote
) -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(3, uapi.NOTIFY, eventfd, 0))
    do(fd, uapi.DO_ONESHOT, 0b1000)
    for _ in range(10):
        kick(fd, 0b1000)
        assert readable(eventfd)
        assert os.eventfd_read(eventfd) == 1
        unmask(fd, 0b1000)
    kick(fd, 0b1000)
    assert readable(eventfd)
    os.eventfd_read(eventfd)
    kick(fd, 0b1000)
    assert not readable(eventfd, 0.3)
    unmask(fd, 0b1000)
    assert readable(eventfd)
    os.close(eventfd)


def test_bad_masks_are_refused_and_change_nothing(link: mbox.LinkDevice, fd: int) -> None:
    reader, writer = os.open(link.node, os.O_RDONLY), os.open(link.node, os.O_WRONLY)
    for number, arguments in (
        (errno.EINVAL, (fd, uapi.DO_MASK, 0b10001)),
        (errno.EINVAL, (fd, 4, 1)),
        (errno.EINVAL, (fd, uapi.DO_MASK, 1, 1)),
        (errno.EBADF, (reader, uapi.DO_MASK, 1)),
        (errno.EBADF, (writer, uapi.DO_ONESHOT, 1)),
    ):
        with raises(number):
            do(*arguments)
    assert [attribute(link, n, "masked") for n in range(4)] == [""] * 4
    os.close(reader)
    os.close(writer)


def test_masks_of_a_device_that_goes_away(link: mbox.LinkDevice, fd: int, remote: Remote) -> None:
    mask(fd, 0b0001)
    do(fd, uapi.DO_ONESHOT, 0b0010)
    kick(fd, 0b0011)
    unbind()
    with raises(errno.ENODEV):
        unmask(fd, 0b0001)


def cpu_used() -> float:
    """Seconds that this core has not been idle."""
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def test_a_storm_on_an_armed_vector_costs_one_wake_per_read(
    link: mbox.LinkDevice, fd: int, remote: Remote, limit: Path
) -> None:
    limit.write_text("0\n")
    do(fd, uapi.DO_ONESHOT, 0b0001)
    start, busy, before = time.monotonic(), cpu_used(), notifications(link, 0)
    remote.flood(0b0001, STORM, 0)
    wakes = 0
    while remote.flood_left():
        if readable(fd, 0.5):
            wakes += 1
            time.sleep(0.05)
            assert read(fd) == 0b0001
    took, used = time.monotonic() - start, cpu_used() - busy
    interrupts = notifications(link, 0) - before
    print(f"{STORM} notifications in {took:.1f} s: {interrupts} interrupts, {wakes} wakes, ")
    print(f"this core was busy for {used:.1f} s")
    assert interrupts <= wakes + 1
    assert wakes <= took / 0.05 + 1


def test_the_kernel_masks_a_storm_and_ends_the_mask(
    link: mbox.LinkDevice, fd: int, remote: Remote, limit: Path
) -> None:
    limit.write_text("100\n")
    before = notifications(link, 2)
    start = time.monotonic()
    seen, floods = False, 0
    # Where the host lets this core run seldom, a flood may be few interrupts.
    while not seen and time.monotonic() < start + 60:
        remote.flood(0b0100, 300_000, 0)
        floods += 1
        while remote.flood_left():
            seen = seen or attribute(link, 2, "masked") == "storm"
            time.sleep(0.02)
    took = time.monotonic() - start
    interrupts = notifications(link, 2) - before
    storms = int(attribute(link, 2, "storms"))
    print(f"{floods} x 300000 in {took:.1f} s: {interrupts} interrupts, {storms} storms")
    assert seen
    assert 0 < storms <= took / 0.1 + 1
    # 10 interrupts, and what was under way, in each window of 100 ms.
    assert interrupts <= 12 * (took / 0.1 + 2)
    assert (attribute(link, 1, "storms"), attribute(link, 1, "masked")) == ("0", "")
    Remote.until(lambda: attribute(link, 2, "masked") == "", "the storm does not end")
    # The last one is not lost, and the vector works as before.
    assert readable(fd)
    read(fd)
    kick(fd, 0b0100)
    assert readable(fd)
    assert read(fd) == 0b0100


def test_no_storm_can_begin_before_it_can_end(link: mbox.LinkDevice, tracing: Path) -> None:
    """A probe that fails frees interrupts, which the end of a storm may not enable then."""
    name, bind = device_name(), driver() / "bind"
    unbind()
    probe("request_threaded_irq", "enable_irq", "cdev_device_add")
    bind.write_text(name)
    called = [text.strip("()").partition("+")[0] for _, event, text in events()]
    # One interrupt for each vector.
    assert called == [
        *["request_threaded_irq"] * link.vectors,
        *["enable_irq"] * link.vectors,
        "cdev_device_add",
    ]


def storms(link: mbox.LinkDevice) -> list[int]:
    return [int(attribute(link, n, "storms")) for n in range(4)]


def test_a_storm_leaves_a_quiet_vector_alone(
    link: mbox.LinkDevice, fd: int, remote: Remote
) -> None:
    """With the limit that nobody has set, and with as many eventfds as can be."""
    eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(uapi.MAX_BINDINGS)]
    for each in eventfds:
        fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(1, uapi.NOTIFY, each, 0))
    before, start, used = notifications(link, 1), time.monotonic(), time.process_time()
    remote.flood(0b0010, 300_000, 0)
    while remote.flood_left():
        time.sleep(0.01)
        kick(fd, 0b0001)  # a quiet vector
        assert readable(fd, 1)
        read(fd)
    took = time.monotonic() - start
    interrupts = notifications(link, 1) - before
    print(f"300000 notifications in {took:.1f} s: {interrupts} interrupts, {storms(link)} storms")
    print(f"this process had the core for {time.process_time() - used:.1f} s")
    assert [storms(link)[n] for n in (0, 2, 3)] == [0, 0, 0]
    Remote.until(lambda: attribute(link, 1, "masked") == "", "the storm does not end")
    assert all(os.eventfd_read(each) for each in eventfds)
    for each in eventfds:
        os.close(each)


def test_what_nobody_is_told_of_is_no_storm(
    link: mbox.LinkDevice, fd: int, remote: Remote, limit: Path
) -> None:
    limit.write_text("20\n")  # 2 in each window of 100 ms
    do(fd, uapi.DO_ONESHOT, 0b0001)
    mask(fd, 0b0100)
    for _ in range(20):
        kick(fd, 0b0101)
        time.sleep(0.01)
    assert storms(link) == [0, 0, 0, 0]


@pytest.mark.parametrize("late", [False, True])
def test_what_fired_for_a_file_that_goes_is_delivered_to_the_next(
    link: mbox.LinkDevice, fd: int, remote: Remote, late: bool
) -> None:
    """A daemon that dies before it reads leaves no vector masked to the one after it."""
    old = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    do(old, uapi.DO_ONESHOT, 0b0001)
    if late:
        kick(fd, 0b0001)
        assert readable(fd)
        assert read(fd) == 0b0001
        do(fd, uapi.DO_ONESHOT, 0b0001)
    else:
        do(fd, uapi.DO_ONESHOT, 0b0001)
        kick(fd, 0b0001)
        assert readable(fd)
        assert read(fd) == 0b0001
    os.close(old)
    kick(fd, 0b0001)
    assert readable(fd)
    assert read(fd) == 0b0001
    assert attribute(link, 0, "masked") == ""


def test_a_new_reader_gets_what_fired_before_it_came(
    link: mbox.LinkDevice, fd: int, remote: Remote
) -> None:
    do(fd, uapi.DO_ONESHOT, 0b0001)
    kick(fd, 0b0001)
    assert readable(fd)
    new = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    do(new, uapi.DO_ONESHOT, 0b0001)
    for _ in range(3):
        kick(fd, 0b0001)
        assert readable(new)
        assert read(new) == 0b0001
    os.close(new)


@pytest.mark.parametrize("text", ["", "x", "-1", "4294967296"])
def test_a_limit_that_is_no_number_is_refused(limit: Path, text: str) -> None:
    before = limit.read_text()
    number = os.open(limit, os.O_WRONLY)
    with pytest.raises(OSError, match=r"Invalid argument|out of range"):
        os.write(number, f"{text}\n".encode())
    os.close(number)
    assert limit.read_text() == before
