# SPDX-License-Identifier: BSD-3-Clause
"""What no driver can make an engine do, and what is believed of a queue."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.region import Region
from rslctl.virtio.engine import Queue, wrong
from rslctl.virtio.engines import engine
from rslctl.virtio.registers import Register

from tests.unit.virtio.firmware import MEMORY, PFN, Firmware, Modern, Shared, identity, run

#: How many registers a hostile driver writes.
WRITES = int(os.environ.get("VIRTIO_WRITES", "8000"))

#: Values that mean something, by register; each may be written into any register, too.
LIKELY = {
    Register.STATUS: (0, 1, 2, 3, 4, 7, 8, 0xB, 0xF, 0x4F, 0x80),
    Register.DRIVER_FEATURES: (0, 1, 3, 0xFFFF_FFFF),
    Register.DRIVER_FEATURES_SEL: (0, 1, 2),
    Register.GUEST_PAGE_SIZE: (4096, 4096, 4096, 0, 16),
    Register.QUEUE_SEL: (0, 1, 2, 0x00FF00FF),
    Register.QUEUE_NUM: (128, 64, 1, 0, 3, 0x00FF00FF),
    Register.QUEUE_ALIGN: (4096, 4096, 4096, 16, 0),
    Register.QUEUE_PFN: (PFN, PFN + 2, PFN + 4, 0, 1, 0xAABBAABB, MEMORY.end // 4096 - 1),
    Register.QUEUE_READY: (1, 1, 0),
    Register.QUEUE_DESC_LOW: (MEMORY.base, MEMORY.base + 8, MEMORY.end - 16, 0),
    Register.QUEUE_AVAIL_LOW: (MEMORY.base, MEMORY.base + 1, MEMORY.end - 16, 0),
    Register.QUEUE_USED_LOW: (MEMORY.base, MEMORY.base + 2, MEMORY.end - 16, 0),
    Register.QUEUE_DESC_HIGH: (0, 0, 0xFFFF_FFFF),
    Register.QUEUE_AVAIL_HIGH: (0, 0, 0x8000_0000),
    Register.QUEUE_USED_HIGH: (0, 0, 1),
    Register.SHM_SEL: (0, 1),
    Register.INTERRUPT_ACK: (1, 2, 3),
}


@dataclass
class Recorded(Shared):
    """A header that knows what the driver wrote: offsets and values."""

    written: list[tuple[int, int]] = field(default_factory=list)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset != Register.TRANSACTION:
            self.written.append((offset, value))


def handshake(version: int) -> list[tuple[int, int]]:
    """The writes of a driver that is not mad."""
    shared = Recorded(engine(version, identity()))
    shared.perform(shared.engine.publish())
    if version == 1:
        run(Firmware().boot(shared), shared)
    else:
        Modern(shared).probe(Firmware().queues())
    assert shared.started
    return shared.written


def mad(version: int, chance: random.Random) -> Iterator[tuple[int, int]]:
    """The writes of a driver that goes mad now and then, most often with values that it knows."""
    sane = handshake(version)
    while True:
        madness = chance.choice((0.0, 0.02, 0.2))
        for each in sane:
            while chance.random() < madness:
                register = chance.choice(list(LIKELY))
                if chance.random() < 0.2:
                    yield chance.randrange(0, 0x200, 4), chance.getrandbits(32)
                else:
                    yield register, chance.choice(LIKELY[register])
            if chance.random() < madness:
                break
            yield each


def write(shared: Shared, offset: int, value: int, chance: random.Random) -> None:
    shared.write(offset, value)
    if chance.random() < 0.995:
        shared.write(Register.TRANSACTION, offset | 4 << 16)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version", [1, 2])
def test_whatever_a_driver_writes_queues_are_in_the_memory_and_actions_few(
    version: int, seed: int
) -> None:
    """Shared.perform() knows what no list of actions may have."""
    chance = random.Random(f"{version} {seed}")  # noqa: S311
    shared = Shared.of(version)
    for offset, value in islice(mad(version, chance), WRITES // 2):
        write(shared, offset, value, chance)
        turn = chance.random()
        if turn < 0.98:
            assert len(shared.look(rested=turn < 0.2)) < 30
        elif turn < 0.985:
            shared.perform(shared.engine.needs_reset("the back-end has failed"))
        elif turn < 0.99:
            shared.perform(shared.engine.config(chance.randbytes(chance.randrange(0x81))))
    # It has come through to what matters, many times.
    assert shared.starts > WRITES // 200
    assert len(set(shared.broken)) > 3


@pytest.mark.parametrize("version", [1, 2])
@given(
    data=st.binary(min_size=0x200, max_size=0x200), more=st.binary(min_size=0x200, max_size=0x200)
)
def test_a_header_of_any_bytes_raises_nothing(version: int, data: bytes, more: bytes) -> None:
    shared = Shared.of(version)
    for each in (data, more, data):
        shared.data[:] = each
        shared.look()
        shared.look(rested=True)


@pytest.mark.parametrize("version", [1, 2])
def test_an_engine_that_is_published_anew_is_as_new(version: int) -> None:
    chance = random.Random(version)  # noqa: S311
    shared = Shared.of(version)
    new = bytes(shared.data)
    for offset, value in islice(mad(version, chance), 200):
        write(shared, offset, value, chance)
        shared.look()
    shared.started = None  # as a daemon does before it publishes
    shared.perform(shared.engine.publish())
    assert bytes(shared.data) == new
    assert not (shared.engine.running or shared.engine.waiting or shared.engine.unsure)


ADDRESSES = st.integers(MEMORY.base - 64, MEMORY.end + 64) | st.integers(0, 2**64 - 1)


@given(st.integers(0, 300) | st.integers(0, 2**32 - 1), ADDRESSES, ADDRESSES, ADDRESSES)
def test_a_queue_that_is_believed_has_every_byte_in_the_memory(
    size: int, desc: int, avail: int, used: int
) -> None:
    reason = wrong(Queue(0, size, desc, avail, used), 256, MEMORY)
    right = size in {1 << bit for bit in range(9)}
    for base, length, alignment in (
        (desc, 16 * size, 16),
        (avail, 6 + 2 * size, 2),
        (used, 6 + 8 * size, 4),
    ):
        right = right and base % alignment == 0
        right = right and MEMORY.base <= base and base + length <= MEMORY.end
    assert (reason == "") == right


def test_an_identity_that_no_header_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="has 129 bytes, at most 128 are possible"):
        identity(config=bytes(129))
    with pytest.raises(ValueError, match="a queue's size is 100, expected a power of two"):
        identity(queues=(128, 100))
    with pytest.raises(ValueError, match="has 129 bytes"):
        Shared.of(1).engine.config(bytes(129))


def test_the_memory_is_that_of_the_identity() -> None:
    queue = Queue(0, 16, 0x1000, 0x1200, 0x1300)
    assert wrong(queue, 16, Region(0x1000, 0x400)) == ""
    assert wrong(queue, 16, Region(0x1000, 0x380)) == (
        "the used ring of queue 0 is at 0x1300..0x1385, outside the shared memory 0x1000..0x137f"
    )
