# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors of the shared memory alone: what they allow, and what they do not."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select

from rslctl.linux import mbox, uapi

from tests.guest.support import BOARD, raises, unbind

PAGE = mmap.PAGESIZE
AT = 0x200000


def window(
    fd: int, offset: int = 0, size: int = 0, flags: int = 0, padding: int = 0, reserved: int = 0
) -> int:
    packed = bytearray(uapi.WINDOW.pack(offset, size, flags, padding, reserved))
    number: int = fcntl.ioctl(fd, uapi.IOC_MEMORY, packed)
    return number


def test_the_whole_memory_is_mapped_and_has_a_size(link: mbox.LinkDevice, fd: int) -> None:
    memory = window(fd)
    assert not os.get_inheritable(memory)
    assert os.lseek(memory, 0, os.SEEK_END) == link.memory_size
    assert os.lseek(memory, -PAGE, os.SEEK_END) == link.memory_size - PAGE
    assert os.lseek(memory, 0, os.SEEK_SET) == 0
    with mmap.mmap(fd, PAGE, offset=AT) as theirs, mmap.mmap(memory, link.memory_size) as whole:
        theirs[:4] = b"here"
        assert whole[AT : AT + 4] == b"here"
    os.close(memory)


def test_a_window_is_mapped_from_its_first_byte_to_its_last(fd: int) -> None:
    part = window(fd, AT, 2 * PAGE)
    assert os.lseek(part, 0, os.SEEK_END) == 2 * PAGE
    with mmap.mmap(fd, 3 * PAGE, offset=AT) as theirs, mmap.mmap(part, 2 * PAGE) as ours:
        theirs[PAGE : PAGE + 4] = b"part"
        assert ours[PAGE : PAGE + 4] == b"part"
    with mmap.mmap(part, PAGE, offset=PAGE) as second:
        assert second[:4] == b"part"
    for size, offset in ((3 * PAGE, 0), (PAGE, 2 * PAGE), (2 * PAGE, PAGE)):
        with raises(errno.EINVAL):
            mmap.mmap(part, size, offset=offset)
    os.close(part)


def test_a_read_only_window_cannot_be_written(fd: int) -> None:
    part = window(fd, AT, PAGE, uapi.MEMORY_RDONLY)
    with raises(errno.EACCES):
        mmap.mmap(part, PAGE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(PAGE), mmap.PROT_READ, mmap.MAP_SHARED, part, 0)
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), protection) == -1
    assert ctypes.get_errno() == errno.EACCES
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(PAGE))
    os.close(part)


def test_it_can_neither_kick_nor_bind_nor_open_the_device(link: mbox.LinkDevice, fd: int) -> None:
    memory = window(fd)
    for call in (
        lambda: os.write(memory, uapi.MASK.pack(1)),
        lambda: os.read(memory, 4),
    ):
        with raises(errno.EINVAL):
            call()
    for command, size in (
        (uapi.IOC_INFO, uapi.INFO.size),
        (uapi.IOC_BIND, uapi.BINDING.size),
        (uapi.IOC_MASK, uapi.MASKING.size),
        (uapi.IOC_MEMORY, uapi.WINDOW.size),
    ):
        with raises(errno.ENOTTY):
            fcntl.ioctl(memory, command, bytes(size))
    for again in (os.O_RDONLY, os.O_RDWR):
        with raises(errno.ENXIO):
            os.open(f"/proc/self/fd/{memory}", again)
    os.close(memory)


def test_the_end_of_the_device_is_told_and_the_mapping_stays(
    link: mbox.LinkDevice, fd: int
) -> None:
    memory = window(fd)
    poll = select.poll()
    poll.register(memory, select.POLLIN)
    assert poll.poll(0) == []
    with mmap.mmap(memory, PAGE, offset=AT) as mapping:
        mapping[:4] = b"mine"
        unbind()
        assert poll.poll(20_000) == [(memory, select.POLLHUP | select.POLLERR)]
        # The memory of a PCI device goes with it. Another page takes its place.
        stays = bytes(4) if BOARD == "ivshmem" else b"mine"
        assert mapping[:4] == stays
    with mmap.mmap(memory, PAGE, offset=AT) as mapping:
        assert mapping[:4] == stays
        mapping[:4] = b"more"
        assert mapping[:4] == b"more"
    with raises(errno.ENODEV):
        window(fd)
    os.close(memory)


def test_bad_windows_are_refused(link: mbox.LinkDevice, fd: int) -> None:
    size = link.memory_size
    for arguments in (
        (1,),
        (size,),
        (size + PAGE, PAGE),
        (0, 1),
        (0, size + PAGE),
        (PAGE, size),
        (2**64 - PAGE, 2 * PAGE),
        (PAGE, 2**64 - PAGE),
        (0, 0, 2),
        (0, 0, 0, 1),
        (0, 0, 0, 0, 1),
    ):
        with raises(errno.EINVAL):
            window(fd, *arguments)
    reader, writer = os.open(link.node, os.O_RDONLY), os.open(link.node, os.O_WRONLY)
    for number, flags in ((reader, 0), (writer, 0), (writer, uapi.MEMORY_RDONLY)):
        with raises(errno.EACCES):
            window(number, 0, 0, flags)
    os.close(window(reader, 0, 0, uapi.MEMORY_RDONLY))
    os.close(reader)
    os.close(writer)


def test_a_debugger_reads_and_writes_what_a_process_has_mapped(fd: int) -> None:
    memory = window(fd)
    with mmap.mmap(memory, PAGE, offset=AT) as mapping:
        mapping[:8] = b"mapped!!"
        anchor = ctypes.c_char.from_buffer(mapping)
        address = ctypes.addressof(anchor)
        del anchor
        child = os.fork()
        if not child:
            own = os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR)
            assert os.pread(own, 8, address) == b"mapped!!"
            assert os.pwrite(own, b"written!", address) == 8
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert mapping[:8] == b"written!"
    os.close(memory)
