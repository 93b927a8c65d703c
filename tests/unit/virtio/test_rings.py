# SPDX-License-Identifier: BSD-3-Clause
"""The device's side of a split virtqueue, against a played driver and against a hostile one."""

from __future__ import annotations

import mmap
import struct
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rslctl.virtio.memory import Memory
from rslctl.virtio.rings import Chain, Ring, RingError

from tests.unit.virtio.split_ring import BASE, INDIRECT, NEXT, WRITE, Driver

SIZE = 1 << 16
#: Where buffers are.
DATA = BASE + SIZE // 2


def nothing() -> None:
    """The barrier of one thread."""


def memory() -> Memory:
    return Memory(memoryview(bytearray(SIZE)), BASE)


def pair(size: int = 8, barrier: Callable[[], None] = nothing) -> tuple[Driver, Ring]:
    """A driver and its device."""
    driver = Driver(memory(), size)
    return driver, Ring(driver.memory, driver.queue, barrier)


def popped(ring: Ring) -> Chain:
    """The chain that is there."""
    chain = ring.pop()
    assert chain is not None
    return chain


def test_an_empty_queue_has_no_chain() -> None:
    _, ring = pair()
    assert ring.pop() is None


def test_a_chain_comes_with_its_buffers_in_order() -> None:
    driver, ring = pair()
    head = driver.add([(DATA, 3), (DATA + 16, 5)], [(DATA + 32, 7), (DATA + 64, 9)])
    chain = popped(ring)
    assert chain == Chain(head, [(DATA, 3), (DATA + 16, 5)], [(DATA + 32, 7), (DATA + 64, 9)])
    assert (chain.length, chain.room) == (8, 16)
    assert ring.pop() is None


def test_a_chain_comes_back_with_what_was_written() -> None:
    driver, ring = pair()
    head = driver.add([], [(DATA, 16)])
    assert driver.get() is None
    ring.push(popped(ring), 11)
    assert driver.get() == (head, 11)
    assert driver.get() is None


def test_chains_may_come_back_in_any_order() -> None:
    driver, ring = pair()
    heads = [driver.add([(DATA, 1)], []) for _ in range(3)]
    chains = [popped(ring) for _ in range(3)]
    for chain in (chains[2], chains[0], chains[1]):
        ring.push(chain, 0)
    assert [driver.get() for _ in range(3)] == [(heads[each], 0) for each in (2, 0, 1)]


def test_the_indices_wrap() -> None:
    driver, ring = pair(256)
    for index in range(256):
        driver.describe(index, DATA, 1, 0, 0)
        driver.offer(index)
    order = [*range(256)]
    for turn in range(2, 2**16 // 256 + 3):
        for each in order:
            taken = popped(ring)
            assert taken.head == each
            ring.push(taken, each)
        assert ring.pop() is None
        assert driver.memory.u16(driver.queue.used + 2) == (turn - 1) * 256 % 2**16
        driver.memory.set_u16(driver.queue.avail + 2, turn * 256 % 2**16)
    used = struct.unpack("<512I", driver.memory.read(driver.queue.used + 4, 8 * 256))
    assert [*zip(used[::2], used[1::2], strict=True)] == [(each, each) for each in order]


def test_a_chain_of_all_descriptors_is_taken() -> None:
    driver, ring = pair(8)
    driver.add([(DATA + each, 1) for each in range(8)], [])
    assert popped(ring).readable == [(DATA + each, 1) for each in range(8)]


def test_the_bytes_of_a_chain_are_gathered_from_any_offset() -> None:
    driver, ring = pair()
    driver.memory.write(DATA, b"abcXdefgYhi")
    driver.add([(DATA, 3), (DATA + 4, 4), (DATA + 9, 2), (DATA, 0)], [(DATA + 20, 5)])
    chain = popped(ring)
    whole = b"abcdefghi"
    for offset in range(11):
        for limit in range(11):
            assert ring.gather(chain, offset, limit) == whole[offset : offset + limit]


def test_bytes_are_scattered_over_the_buffers_to_write() -> None:
    driver, ring = pair()
    driver.memory.write(DATA, b"." * 16)
    driver.add([(DATA, 1)], [(DATA + 1, 3), (DATA + 5, 4), (DATA + 10, 4)])
    ring.scatter(popped(ring), b"abcdefghi")
    assert driver.memory.read(DATA, 16) == b".abc.defg.hi...."


def test_a_kick_is_wanted_unless_the_driver_says_not() -> None:
    driver, ring = pair()
    assert ring.wants_kick()
    driver.suppress(1)
    assert not ring.wants_kick()
    driver.suppress(0)
    assert ring.wants_kick()


def test_an_entry_is_read_after_the_barrier_that_follows_the_index() -> None:
    driver = Driver(memory(), 8)
    driver.describe(0, DATA, 1, 0, 0)
    driver.describe(3, DATA, 3, 0, 0)

    def arrive() -> None:
        """What the driver wrote before its index becomes visible."""
        driver.memory.set_u16(driver.queue.avail + 4, 3)

    ring = Ring(driver.memory, driver.queue, arrive)
    driver.offer(0)
    assert popped(ring).head == 3


def test_the_used_index_is_written_after_the_barrier_that_follows_its_element() -> None:
    seen = []
    driver, ring = pair(barrier=lambda: seen.append(snapshot()))

    def snapshot() -> tuple[bytes, int]:
        used = driver.queue.used
        return driver.memory.read(used + 4, 8), driver.memory.u16(used + 2)

    driver.add([(DATA, 1)], [])
    driver.add([], [(DATA, 9)])
    first, second = popped(ring), popped(ring)
    seen.clear()
    ring.push(second, 9)
    assert seen == [(struct.pack("<II", second.head, 9), 0)]
    assert snapshot()[1] == 1
    ring.push(first, 0)


def test_the_wish_for_a_kick_is_read_after_a_barrier() -> None:
    driver, ring = pair(barrier=lambda: driver.suppress(0))
    driver.suppress(1)
    assert ring.wants_kick()


class Watched(Memory):
    """A memory that tells which of its bytes were read as often as they were."""

    def __init__(self, view: memoryview, base: int) -> None:
        super().__init__(view, base)
        self.reads: list[int] = []

    def read(self, address: int, size: int) -> bytes:
        self.reads += range(address, address + size)
        return super().read(address, size)

    def u16(self, address: int) -> int:
        self.reads += range(address, address + 2)
        return super().u16(address)


def test_each_word_of_the_driver_is_read_once() -> None:
    watched = Watched(memoryview(bytearray(SIZE)), BASE)
    driver = Driver(watched, 8)
    driver.add([(DATA, 3), (DATA, 4)], [(DATA, 5), (DATA, 6)])
    watched.reads.clear()
    popped(Ring(watched, driver.queue, nothing))
    assert len(watched.reads) == 2 + 2 + 4 * 16
    assert len({*watched.reads}) == len(watched.reads)


def chain(*descriptors: tuple[int, int, int, int], head: int = 0) -> Callable[[Driver], None]:
    """Make a chain available, with descriptors from the first on: addr, len, flags, next."""

    def offer(driver: Driver) -> None:
        for index, each in enumerate(descriptors):
            driver.describe(index, *each)
        driver.offer(head)

    return offer


def jump(to: int) -> Callable[[Driver], None]:
    """Set the available index."""
    return lambda driver: driver.memory.set_u16(driver.queue.avail + 2, to)


#: What no driver may do with a queue of 8, and what is said of it.
LIES: dict[str, tuple[Callable[[Driver], None], str]] = {
    "an index that jumps": (
        jump(9),
        "the available index went from 0 to 9 with 0 chains in use",
    ),
    "an index that goes back": (
        jump(0xFFFF),
        "the available index went from 0 to 65535 with 0 chains in use",
    ),
    "a head that is not there": (
        chain(head=8),
        "chain 8: there is no descriptor 8",
    ),
    "a following descriptor that is not there": (
        chain((DATA, 1, NEXT, 65535)),
        "chain 0: there is no descriptor 65535",
    ),
    "a loop of one": (
        chain((DATA, 1, 0, 0), (DATA, 1, NEXT, 1), head=1),
        "chain 1: it is a loop",
    ),
    "a loop of all": (
        chain(*((DATA, 1, NEXT, (each + 1) % 8) for each in range(8))),
        "chain 0: it is a loop",
    ),
    "a buffer before the memory": (
        chain((BASE - 1, 2, 0, 0)),
        "chain 0: 2 bytes at 0x6fffffff are outside of the shared memory",
    ),
    "a buffer that ends behind the memory": (
        chain((BASE + SIZE - 4, 5, WRITE, 0)),
        "chain 0: 5 bytes at 0x7000fffc are outside of the shared memory",
    ),
    "a buffer that wraps 64 bits": (
        chain((2**64 - 1, 2, 0, 0)),
        "chain 0: 2 bytes at 0xffffffffffffffff are outside of the shared memory",
    ),
    "an indirect table": (
        chain((DATA, 16, INDIRECT, 0)),
        "chain 0: it is indirect, which was not offered",
    ),
    "a buffer to read after one to write": (
        chain((DATA, 1, WRITE | NEXT, 1), (DATA, 1, 0, 0)),
        "chain 0: a buffer to read comes after one to write",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_driver_that_lies_is_told(lie: str) -> None:
    tell, reason = LIES[lie]
    driver, ring = pair()
    tell(driver)
    for _ in range(2):  # it stays wrong
        with pytest.raises(RingError) as caught:
            ring.pop()
        assert str(caught.value) == f"queue 0 of 8: {reason}"


def test_a_queue_has_no_more_chains_than_descriptors_at_a_time() -> None:
    driver, ring = pair()
    for _ in range(8):
        driver.add([(DATA, 1)], [])
    chains = [popped(ring) for _ in range(8)]
    driver.offer(0)
    with pytest.raises(RingError, match="from 8 to 9 with 8 chains in use"):
        ring.pop()
    ring.push(chains[0], 0)
    assert popped(ring).head == 0


def test_a_chain_of_more_than_4_gib_is_refused() -> None:
    size = 1 << 28
    mapping = mmap.mmap(-1, size)  # most of its pages are never touched
    driver = Driver(Memory(mapping, BASE), 64, BASE + size - 4096)
    ring = Ring(driver.memory, driver.queue, nothing)
    driver.add([(BASE, size)] * 16, [])
    assert popped(ring).length == 2**32
    driver.add([(BASE, size)] * 16, [(BASE, 1)])
    with pytest.raises(RingError, match="chain 16: it is longer than 2\\^32 bytes"):
        ring.pop()
    driver.memory.close()
    mapping.close()


_BUFFERS = st.lists(
    st.tuples(st.integers(DATA, DATA + 4000), st.integers(0, 500)), min_size=0, max_size=3
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _BUFFERS, _BUFFERS),
        st.just("pop"),
        st.tuples(st.just("push"), st.integers(0, 15), st.integers(0, 2**32 - 1)),
        st.just("get"),
    ),
    max_size=60,
)


@given(size=st.sampled_from([1, 2, 8, 16]), steps=_STEPS)
@settings(max_examples=60)
def test_a_driver_that_keeps_the_rules_gets_what_it_asks_for(
    size: int, steps: list[str | tuple[str, list[tuple[int, int]], list[tuple[int, int]]]]
) -> None:
    driver, ring = pair(size)
    offered: deque[Chain] = deque()
    taken: list[Chain] = []
    given_back: deque[tuple[int, int]] = deque()
    for step in steps:
        match step:
            case ("add", list(readable), list(writable)):
                if 0 < len(readable) + len(writable) <= driver.num_free:
                    head = driver.add(readable, writable)
                    offered.append(Chain(head, readable, writable))
            case "pop":
                chain = ring.pop()
                assert chain == (offered.popleft() if offered else None)
                taken += [chain] if chain else []
            case ("push", int(which), int(written)):
                if taken:
                    chain = taken.pop(which % len(taken))
                    ring.push(chain, written)
                    given_back.append((chain.head, written))
            case "get":
                assert driver.get() == (given_back.popleft() if given_back else None)


_WORD = st.one_of(st.integers(0, 9), st.integers(0, 2**16 - 1))
_DESCRIPTOR = st.tuples(
    st.one_of(
        st.integers(DATA - 8, DATA + 64),
        st.integers(BASE - 16, BASE + 16),
        st.integers(BASE + SIZE - 16, BASE + SIZE + 16),
        st.integers(0, 2**64 - 1),
    ),
    st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1)),
    st.one_of(st.sampled_from([0, 0, 1, 1, 2, 3]), st.integers(0, 2**16 - 1)),
    _WORD,
)


@given(
    descriptors=st.lists(_DESCRIPTOR, min_size=8, max_size=8),
    words=st.lists(_WORD, min_size=10, max_size=10),
    later=st.lists(st.tuples(st.integers(0, 9), _WORD), max_size=8),
    back=st.booleans(),
)
@settings(max_examples=60)
def test_whatever_a_driver_writes_stays_in_the_memory_or_is_an_error(
    descriptors: list[tuple[int, int, int, int]],
    words: list[int],
    later: list[tuple[int, int]],
    back: bool,
) -> None:
    driver, ring = pair()
    for index, each in enumerate(descriptors):
        driver.describe(index, *each)
    driver.memory.write(driver.queue.avail, struct.pack("<10H", *words))
    in_use = 0
    for place, word in [*later, (0, 0)]:
        try:
            while (chain := ring.pop()) is not None:
                in_use += 1
                assert in_use <= 8
                assert chain.head < 8
                buffers = chain.readable + chain.writable
                assert 0 < len(buffers) <= 8
                for address, length in buffers:
                    assert BASE <= address <= address + length <= BASE + SIZE
                assert len(ring.gather(chain, 0, 64)) == min(64, chain.length)
                ring.scatter(chain, b"x" * min(64, chain.room))
                if back:
                    ring.push(chain, 0)
                    in_use -= 1
                if driver.memory.u16(driver.queue.used + 2) > 20:
                    break  # chains that write the ring itself can offer new ones for ever
        except RingError as error:
            assert str(error).startswith("queue 0 of 8: ")
        driver.memory.set_u16(driver.queue.avail + 2 * place, word)
