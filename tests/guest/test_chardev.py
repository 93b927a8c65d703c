# SPDX-License-Identifier: BSD-3-Clause
"""What uapi/linux/rsl_mbox.h promises of /dev/rsl_mboxN, on real interrupts."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import select
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import BOARD, LINK, MEMORY_SIZE, raises, unbind

PAGE = mmap.PAGESIZE


def wait_in(fd: int, timeout: float = 10) -> int:
    """Wait until *fd* is readable and read the mask."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(timeout * 1000), "no notification"
    mask: int = uapi.MASK.unpack(os.read(fd, 4))[0]
    return mask


def kicks(link: mbox.LinkDevice) -> list[int]:
    return [each.kicks for each in mbox.counters(Host(), link)]


def notifications(link: mbox.LinkDevice) -> list[int]:
    return [each.notifications for each in mbox.counters(Host(), link)]


@pytest.mark.parametrize("vector", range(4))
def test_a_kick_is_answered_on_its_own_vector(fd: int, vector: int) -> None:
    os.write(fd, uapi.MASK.pack(1 << vector))
    assert wait_in(fd) == 1 << vector


def test_a_mask_kicks_several_vectors_and_reads_coalesce(fd: int, link: mbox.LinkDevice) -> None:
    before = notifications(link)
    os.write(fd, uapi.MASK.pack(0b1011))
    Remote.until(lambda: sum(notifications(link)) == sum(before) + 3, "not all were answered")
    assert wait_in(fd) == 0b1011
    with raises(errno.EAGAIN):
        os.read(fd, 4)


def test_a_mask_of_zero_kicks_nothing(fd: int, link: mbox.LinkDevice) -> None:
    before = kicks(link)
    assert os.write(fd, uapi.MASK.pack(0)) == 4
    assert kicks(link) == before


@pytest.mark.parametrize("data", [b"", b"\1\0\0", b"\1\0\0\0\0", b"\x10\0\0\0", b"\1\0\0\x80"])
def test_a_wrong_length_or_vector_is_einval_and_kicks_nothing(
    fd: int, link: mbox.LinkDevice, data: bytes
) -> None:
    before = kicks(link)
    with raises(errno.EINVAL):
        os.write(fd, data)
    assert kicks(link) == before


def test_a_short_read_is_einval_and_consumes_nothing(fd: int) -> None:
    os.write(fd, uapi.MASK.pack(4))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(10_000)
    with raises(errno.EINVAL):
        os.read(fd, 3)
    assert wait_in(fd) == 4


def test_a_read_into_a_bad_buffer_is_efault_and_consumes_nothing(fd: int) -> None:
    os.write(fd, uapi.MASK.pack(2))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(10_000)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.read(fd, ctypes.c_void_p(8), 4) == -1
    assert ctypes.get_errno() == errno.EFAULT
    assert wait_in(fd) == 2


def test_a_long_read_returns_four_bytes(fd: int) -> None:
    os.write(fd, uapi.MASK.pack(1))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(10_000)
    assert os.read(fd, 64) == uapi.MASK.pack(1)


def test_poll_changes_nothing(fd: int) -> None:
    os.write(fd, uapi.MASK.pack(8))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    for _ in range(3):
        assert poll.poll(10_000) == [(fd, select.POLLIN)]
    assert wait_in(fd) == 8
    assert poll.poll(0) == []


def test_only_files_open_for_writing_poll_writable(fd: int, link: mbox.LinkDevice) -> None:
    reader = os.open(link.node, os.O_RDONLY)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.register(reader, select.POLLOUT)
    assert poll.poll(0) == [(fd, select.POLLOUT)]
    os.close(reader)


def test_every_open_file_sees_every_notification(fd: int, link: mbox.LinkDevice) -> None:
    others = [os.open(link.node, os.O_RDONLY | os.O_NONBLOCK) for _ in range(20)]
    os.write(fd, uapi.MASK.pack(1 << 3))
    for other in [*others, fd]:
        assert wait_in(other) == 1 << 3
    for other in others:
        os.close(other)


class Watcher(threading.Thread):
    """Waits for an event of an open file of its own, by an exclusive epoll."""

    def __init__(self, link: mbox.LinkDevice) -> None:
        super().__init__()
        self.fd = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self.fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.events: list[tuple[int, int]] = []
        self.start()

    def run(self) -> None:
        self.events = self._epoll.poll(10)

    def sleeps(self) -> bool:
        return (
            Path(f"/proc/self/task/{self.native_id}/wchan")
            .read_text()
            .endswith(("ep_poll", "do_epoll_wait"))
        )

    def close(self) -> None:
        self._epoll.close()
        os.close(self.fd)


@pytest.fixture
def watchers(link: mbox.LinkDevice) -> Iterator[list[Watcher]]:
    """Three open files, each watched by a thread that sleeps."""
    made = [Watcher(link) for _ in range(3)]
    try:
        Remote.until(lambda: all(each.sleeps() for each in made), "a watcher does not sleep")
        yield made
    finally:
        for each in made:
            each.close()


def test_a_notification_wakes_exclusive_waiters_of_every_open_file(
    watchers: list[Watcher], fd: int
) -> None:
    os.write(fd, uapi.MASK.pack(1))
    for each in watchers:
        each.join()
        assert each.events == [(each.fd, select.EPOLLIN)]


def test_the_end_of_the_device_wakes_exclusive_waiters_of_every_open_file(
    watchers: list[Watcher],
) -> None:
    unbind()
    for each in watchers:
        each.join()
        assert [events & select.EPOLLHUP for _, events in each.events] == [select.EPOLLHUP]


#: include/uapi/linux/userfaultfd.h; the system call by its number on arm64 and on amd64.
USERFAULTFD = 323 if platform.machine() == "x86_64" else 282
UFFD_API, UFFDIO_API = 0xAA, 0xC018AA3F
UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MISSING = 0xC020AA00, 1
UFFDIO_ZEROPAGE = 0xC020AA04


def test_a_non_blocking_read_does_not_wait_for_a_reader_that_waits_for_its_page(
    fd: int, link: mbox.LinkDevice
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    faults = libc.syscall(USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    assert faults >= 0, os.strerror(ctypes.get_errno())
    fcntl.ioctl(faults, UFFDIO_API, struct.pack("=3Q", UFFD_API, 0, 0))
    with mmap.mmap(-1, PAGE) as missing:
        address = ctypes.addressof(ctypes.c_char.from_buffer(missing))
        wanted = struct.pack("=4Q", address, PAGE, UFFDIO_REGISTER_MODE_MISSING, 0)
        fcntl.ioctl(faults, UFFDIO_REGISTER, wanted)
        before = notifications(link)
        os.write(fd, uapi.MASK.pack(1))
        Remote.until(lambda: notifications(link) != before, "no answer")
        slow = threading.Thread(target=libc.read, args=(fd, ctypes.c_void_p(address), 4))
        slow.start()
        poll = select.poll()
        poll.register(faults, select.POLLIN)
        assert poll.poll(10000), "the reader needs no page"
        with raises(errno.EAGAIN):
            os.read(fd, 4)
        fcntl.ioctl(faults, UFFDIO_ZEROPAGE, struct.pack("=4Q", address, PAGE, 0, 0))
        slow.join()
        assert ctypes.c_uint32.from_address(address).value == 1
    os.close(faults)
    with raises(errno.EAGAIN):
        os.read(fd, 4)


def test_a_file_sees_nothing_from_before_it_was_opened(fd: int, link: mbox.LinkDevice) -> None:
    os.write(fd, uapi.MASK.pack(1))
    assert wait_in(fd) == 1
    late = os.open(link.node, os.O_RDONLY | os.O_NONBLOCK)
    with raises(errno.EAGAIN):
        os.read(late, 4)
    os.close(late)


def test_a_blocking_read_waits_for_a_notification(fd: int, link: mbox.LinkDevice) -> None:
    blocking = os.open(link.node, os.O_RDONLY)
    timer = threading.Timer(0.3, os.write, (fd, uapi.MASK.pack(2)))
    start = time.monotonic()
    timer.start()
    assert os.read(blocking, 4) == uapi.MASK.pack(2)
    assert time.monotonic() - start >= 0.25
    timer.join()
    os.close(blocking)


def test_info_tells_what_the_link_has(fd: int, link: mbox.LinkDevice) -> None:
    info = uapi.INFO.unpack(fcntl.ioctl(fd, uapi.IOC_INFO, bytes(uapi.INFO.size)))
    features = uapi.FEATURE_MEMORY | uapi.FEATURE_MASK_IRQ
    features |= uapi.FEATURE_CACHED if BOARD == "ivshmem" else 0
    assert info[0] == features
    assert info[1:3] == (link.memory_base, MEMORY_SIZE)
    assert BOARD == "ivshmem" or link.memory_base == 0x70000000
    assert info[3:5] == (4, uapi.MAX_BINDINGS)
    assert info[5] == LINK.encode().ljust(uapi.LABEL_SIZE, b"\0")
    assert set(info[6:]) == {0}
    assert link.vectors == 4


def test_an_unknown_ioctl_is_enotty(fd: int) -> None:
    with raises(errno.ENOTTY):
        fcntl.ioctl(fd, uapi.IOC_INFO + 16, bytes(uapi.INFO.size))


def test_the_sysfs_attribute_kicks_one_vector(fd: int, link: mbox.LinkDevice) -> None:
    kick = Path(f"/sys/class/rsl_mbox/{link.device}/kick")
    kick.write_text("3\n")
    assert wait_in(fd) == 1 << 3


@pytest.mark.parametrize("text", ["4", "32", "-1", "x", "", "4294967296", "1 2"])
def test_the_sysfs_attribute_refuses_what_is_no_vector(link: mbox.LinkDevice, text: str) -> None:
    before = kicks(link)
    kick = os.open(f"/sys/class/rsl_mbox/{link.device}/kick", os.O_WRONLY)
    with pytest.raises(OSError, match=r"Invalid argument|Numerical result out of range"):
        os.write(kick, text.encode() or b"\n")
    os.close(kick)
    assert kicks(link) == before


def test_the_mapping_is_the_memory_that_the_remote_sees(fd: int, remote: Remote) -> None:
    with mmap.mmap(fd, MEMORY_SIZE) as memory:
        memory[1:70] = bytes(range(69))  # unaligned on purpose
        assert memory[1:70] == bytes(range(69))
        assert int.from_bytes(memory[MEMORY_SIZE - PAGE :][:4], "little") == remote.magic()


@pytest.mark.parametrize(
    ("length", "offset", "flags", "protection", "number"),
    [
        (PAGE, MEMORY_SIZE, mmap.MAP_SHARED, mmap.PROT_READ, errno.EINVAL),
        (2 * PAGE, MEMORY_SIZE - PAGE, mmap.MAP_SHARED, mmap.PROT_READ, errno.EINVAL),
        (MEMORY_SIZE + PAGE, 0, mmap.MAP_SHARED, mmap.PROT_READ, errno.EINVAL),
        (PAGE, 0, mmap.MAP_PRIVATE, mmap.PROT_READ, errno.EINVAL),
        (PAGE, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC, errno.EPERM),
    ],
)
def test_a_mapping_outside_or_executable_is_refused(
    fd: int, length: int, offset: int, flags: int, protection: int, number: int
) -> None:
    with raises(number):
        mmap.mmap(fd, length, flags=flags, prot=protection, offset=offset)


def test_a_mapping_cannot_be_made_executable_later(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, PAGE, 1, 1, fd, ctypes.c_long(0))
    assert libc.mprotect(ctypes.c_void_p(address), PAGE, 1 | 4) == -1
    assert ctypes.get_errno() == errno.EACCES
    libc.munmap(ctypes.c_void_p(address), PAGE)


def test_a_read_only_file_neither_kicks_nor_maps_writable(link: mbox.LinkDevice) -> None:
    reader = os.open(link.node, os.O_RDONLY)
    with raises(errno.EBADF):
        os.write(reader, uapi.MASK.pack(1))
    with raises(errno.EACCES):
        mmap.mmap(reader, PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with mmap.mmap(reader, MEMORY_SIZE, prot=mmap.PROT_READ) as memory:
        assert memory[MEMORY_SIZE - PAGE :][:4] == b"RREM"
    os.close(reader)


def test_removal_wakes_pollers_and_readers_and_ends_every_call(fd: int, remote: Remote) -> None:
    remote.answer(0)
    seen: dict[str, object] = {}

    def poller() -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        seen["poll"] = poll.poll(20_000)

    blocking = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)

    def reader() -> None:
        try:
            os.read(blocking, 4)
        except OSError as error:
            seen["read"] = error.errno

    threads = [threading.Thread(target=target) for target in (poller, reader)]
    with mmap.mmap(fd, PAGE) as memory:
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        unbind()
        for thread in threads:
            thread.join(20)
        assert seen == {
            "poll": [(fd, select.POLLHUP | select.POLLERR)],
            "read": errno.ENODEV,
        }
        memory[0:4] = b"abcd"  # stays valid
    for call in (
        lambda: os.read(fd, 4),
        lambda: os.write(fd, uapi.MASK.pack(1)),
        lambda: fcntl.ioctl(fd, uapi.IOC_INFO, bytes(uapi.INFO.size)),
        lambda: mmap.mmap(fd, PAGE),
    ):
        with raises(errno.ENODEV):
            call()
    os.close(blocking)
