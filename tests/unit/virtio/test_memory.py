# SPDX-License-Identifier: BSD-3-Clause
"""The shared memory by the remote's addresses."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.virtio.memory import Memory, OutsideError

BASE = 0x70000000
SIZE = 4096


@pytest.fixture
def mapping() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIZE) as mapping:
        yield mapping


@pytest.fixture
def memory(mapping: mmap.mmap) -> Iterator[Memory]:
    memory = Memory(mapping, BASE)
    yield memory
    memory.close()


def test_what_is_written_stands_at_its_offset(mapping: mmap.mmap, memory: Memory) -> None:
    memory.write(BASE + 3, b"hello")
    assert mapping[:9] == b"\0\0\0hello\0"
    assert memory.read(BASE + 3, 5) == b"hello"


def test_what_was_read_is_a_copy(memory: Memory) -> None:
    memory.write(BASE, b"before")
    copy = memory.read(BASE, 6)
    memory.write(BASE, b"after!")
    assert copy == b"before"


def test_numbers_are_little_endian_and_of_their_size(mapping: mmap.mmap, memory: Memory) -> None:
    mapping[:] = b"\xff" * SIZE
    memory.set_u16(BASE + 2, 0x0102)
    memory.set_u32(BASE + 4, 0x03040506)
    memory.set_u64(BASE + 8, 0x0708090A0B0C0D0E)
    assert mapping[:17].hex() == "ffff0201060504030e0d0c0b0a090807ff"
    assert memory.u16(BASE + 2) == 0x0102
    assert memory.u32(BASE + 4) == 0x03040506
    assert memory.u64(BASE + 8) == 0x0708090A0B0C0D0E


def accesses(memory: Memory) -> list[tuple[int, Callable[[int], object]]]:
    """Each access, with the number of bytes from an address on that it needs."""
    return [
        (5, lambda address: memory.read(address, 5)),
        (5, lambda address: memory.write(address, b"hello")),
        (5, lambda address: memory.check(address, 5)),
        (2, memory.u16),
        (4, memory.u32),
        (8, memory.u64),
        (2, lambda address: memory.set_u16(address, 1)),
        (4, lambda address: memory.set_u32(address, 1)),
        (8, lambda address: memory.set_u64(address, 1)),
        (1, memory.address_of),
    ]


@pytest.mark.parametrize("number", range(10))
def test_an_access_to_anything_else_is_refused(memory: Memory, number: int) -> None:
    size, access = accesses(memory)[number]
    access(BASE)
    access(BASE + SIZE - size)
    for address in (BASE - 1, BASE - 8, BASE + SIZE - size + 1, BASE + SIZE, 0, 2**64 - 1, 2**64):
        with pytest.raises(OutsideError) as caught:
            access(address)
        assert (caught.value.address, caught.value.size) == (address, size)


def test_the_error_names_the_place() -> None:
    told = "16 bytes at 0xfffffffffffffff0 are outside of the shared memory"
    assert str(OutsideError(2**64 - 16, 16)) == told


def test_nothing_is_written_of_what_does_not_fit(mapping: mmap.mmap, memory: Memory) -> None:
    with pytest.raises(OutsideError):
        memory.write(BASE + SIZE - 2, b"abc")
    assert mapping[:] == bytes(SIZE)


@pytest.mark.parametrize("number", range(3, 9))
def test_a_number_that_is_not_aligned_is_refused(memory: Memory, number: int) -> None:
    size, access = accesses(memory)[number]
    with pytest.raises(ValueError, match=f"0x70000001 is not a multiple of {size}"):
        access(BASE + 1)


@pytest.mark.parametrize(("size", "base"), [(4096, BASE + 4), (4092, BASE)])
def test_memory_that_is_not_aligned_is_refused(size: int, base: int) -> None:
    with pytest.raises(ValueError, match="is not aligned"):
        Memory(memoryview(bytearray(size)), base)


def test_the_virtual_address_is_that_of_the_byte(mapping: mmap.mmap, memory: Memory) -> None:
    mapping[100:105] = b"there"
    assert ctypes.string_at(memory.address_of(BASE + 100), 5) == b"there"


def test_a_closed_memory_can_be_unmapped(mapping: mmap.mmap) -> None:
    memory = Memory(mapping, BASE)
    memory.address_of(BASE)
    with pytest.raises(BufferError):
        mapping.close()
    memory.close()
    mapping.close()


_ADDRESSES = st.one_of(
    st.integers(BASE - 16, BASE + SIZE + 16), st.integers(0, 2**64), st.just(2**64 - 1)
)


@given(address=_ADDRESSES, size=st.one_of(st.integers(0, SIZE + 16), st.integers(0, 2**32)))
def test_an_access_is_inside_or_refused(address: int, size: int) -> None:
    memory = Memory(memoryview(bytearray(SIZE)), BASE)
    inside = address >= BASE and address + size <= BASE + SIZE
    try:
        assert len(memory.read(address, size)) == size
        assert inside
    except OutsideError:
        assert not inside
