# SPDX-License-Identifier: BSD-3-Clause
"""Version 2 against a driver that does what Linux's virtio-mmio does, and says each write."""

from __future__ import annotations

import itertools

import pytest
from rslctl.region import Region
from rslctl.virtio.engine import Barrier, Kick, Put, Queue, Start, Stop

from tests.unit.virtio.firmware import MEMORY, Modern, Shared

BASE = MEMORY.base + 0x10000
QUEUES = (
    Queue(0, 128, BASE, BASE + 0x800, BASE + 0x1000),
    Queue(1, 64, BASE + 0x2010, BASE + 0x3002, BASE + 0x4004),
)
VERSION_1 = 1 << 32
OFFERED = VERSION_1 | 1 << 36 | 0x3

ANSWER = [Barrier(), Put(0xD0, 0), Kick()]


def running(**changes: object) -> tuple[Shared, Modern]:
    shared = Shared.of(2, **{"features": OFFERED, **changes})
    modern = Modern(shared)
    modern.probe(QUEUES)
    return shared, modern


def test_the_header_has_what_a_driver_finds_before_it_writes() -> None:
    shared = Shared.of(2, vectors=(3, 4), features=OFFERED)
    words = {at: shared.read(at) for at in range(0, 0x180, 4) if shared.read(at)}
    assert words == {
        0x00: 0x74726976,
        0x04: 2,
        0x08: 3,
        0x0C: 0x564C5352,
        0x10: 0x3,
        0x34: 128,
        0xB0: 0x6000,
        0xB8: 0x3ED1_0000,
        0xD4: 3,
        0xD8: 3,
        0x100: 0x04030201,
        0x104: 0x0605,
    }


@pytest.mark.parametrize("queues", [QUEUES, QUEUES[::-1]])
def test_a_driver_sets_queues_up_in_any_order(queues: tuple[Queue, ...]) -> None:
    shared = Shared.of(2, features=OFFERED)
    Modern(shared, features=VERSION_1 | 1 << 36 | 0x1).probe(queues)
    assert shared.started == Start(VERSION_1 | 1 << 36 | 0x1, QUEUES)
    assert (shared.read(0x70), shared.read(0x60), shared.broken) == (0xF, 1, [])
    assert not shared.engine.waiting


def test_a_driver_may_leave_queues_out() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    modern.probe(QUEUES[1:])
    assert shared.started == Start(VERSION_1 | 0x1, QUEUES[1:])


def test_every_answer_comes_after_what_it_answers() -> None:
    shared = Shared.of(2)
    shared.write(0x14, 1)
    shared.write(0xD0, 0x14 | 4 << 16)
    assert shared.look() == [Put(0x10, 1), *ANSWER]
    assert shared.look() == []


def test_a_write_that_is_not_said_is_not_looked_at() -> None:
    shared = Shared.of(2)
    before = bytes(shared.data)
    shared.write(0x70, 1)
    assert shared.look() == []
    assert not shared.engine.waiting
    assert Shared.of(2).data == before


def test_whenever_the_device_looks_the_driver_comes_to_the_same_end() -> None:
    quiet, _ = running()
    for every in (1, 2, 3, 5):
        shared = Shared.of(2, features=OFFERED)
        turn = itertools.count()

        def looks(
            shared: Shared = shared, turn: itertools.count[int] = turn, n: int = every
        ) -> None:
            if next(turn) % n == 0:
                assert shared.look() == []  # there is nothing to do between two transactions

        Modern(shared, looks).probe(QUEUES)
        assert next(turn) > 50
        assert (shared.data, shared.started) == (quiet.data, quiet.started)


@pytest.mark.parametrize("changed", [-4, 0x10, 0x10 | 2 << 16, 0x10 | 4 << 17, 0xFFFF_FFFF])
def test_a_transaction_of_nothing_is_answered(changed: int) -> None:
    shared = Shared.of(2)
    before = bytes(shared.data)
    shared.write(0xD0, changed & 0xFFFF_FFFF)
    assert shared.look() == ANSWER
    assert shared.data == before


@pytest.mark.parametrize("offset", [0x00, 0x50, 0xC0, 0xD0, 0x100, 0x1FC, 0x71, 0x200, 0xFFFC])
def test_a_write_that_means_nothing_is_answered_and_ignored(offset: int) -> None:
    shared = Shared.of(2)
    shared.write(0xD0, offset | 4 << 16)
    assert shared.look() == ANSWER


@pytest.mark.parametrize(
    ("features", "stands"),
    [
        (VERSION_1, True),
        (OFFERED, True),
        (0x1, False),
        (0, False),
        (VERSION_1 | 0x4, False),
        (VERSION_1 | 1 << 34, False),
        (VERSION_1 | 1 << 63, False),
    ],
)
def test_features_ok_stands_if_the_driver_took_version_1_and_what_is_offered(
    features: int, stands: bool
) -> None:
    shared = Shared.of(2, features=OFFERED | 1 << 34 | 1 << 40)
    modern = Modern(shared)
    modern.reset()
    modern.add_status(3)
    assert modern.offered() == OFFERED
    modern.finalize_features(features)
    modern.add_status(8)
    assert shared.read(0x70) == (0xB if stands else 0x3)
    assert shared.broken == []


@pytest.mark.parametrize(("value", "stands"), [(0, True), (1, False)])
def test_a_feature_beyond_64_bits_is_not_offered(value: int, stands: bool) -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    modern.write(0x14, 2)
    assert shared.read(0x10) == 0
    modern.finalize_features(VERSION_1)
    modern.write(0x24, 2)
    modern.write(0x20, value)
    modern.write(0x70, 0xB)
    assert bool(shared.read(0x70) & 8) == stands


def test_features_can_be_negotiated_again_after_a_refusal() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    modern.write(0x70, 3)
    modern.finalize_features(0x4)
    modern.add_status(8)
    modern.finalize_features(VERSION_1)
    modern.add_status(8)
    assert shared.read(0x70) == 0xB
    modern.finalize_features(VERSION_1 | 0x1)  # too late
    modern.setup_vq(QUEUES[0])
    modern.add_status(4)
    assert shared.started == Start(VERSION_1, QUEUES[:1])


def test_registers_of_a_queue_are_those_of_the_selected_one() -> None:
    shared = Shared.of(2, queues=(256, 128, 64), vectors=(1, 2, 3))
    modern = Modern(shared)
    told = []
    for index in (2, 1, 0, 3, 0xFFFF_FFFF):
        modern.write(0x30, index)
        told.append([shared.read(offset) for offset in (0x34, 0x44, 0xD4, 0xD8)])
    assert told == [[64, 0, 3, 3], [128, 0, 2, 2], [256, 0, 1, 1], [0] * 4, [0] * 4]
    assert shared.read(0xDC) == 0


def test_there_is_one_shared_memory_region() -> None:
    region = Region(0x8_7000_0000, 0x1_0000_0000)
    modern = Modern(Shared.of(2, region=region))
    nothing = (0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
    assert modern.shm_region(1) == nothing
    assert modern.shm_region(0) == (region.base, region.size)
    assert modern.shm_region(0xFFFF_FFFF) == nothing


# Reset


def test_a_reset_stops_the_device_before_it_is_answered() -> None:
    shared, _ = running()
    shared.write(0x70, 0)
    shared.write(0xD0, 0x70 | 4 << 16)
    actions = shared.look()
    assert actions[0] == Stop()
    assert actions[-3:] == ANSWER
    assert (shared.read(0x70), shared.read(0x60), shared.read(0x44)) == (0, 0, 0)
    assert not shared.engine.waiting


def test_a_driver_restarts_a_hundred_times() -> None:
    shared, modern = running()
    for _ in range(100):
        modern.probe(QUEUES)
        assert shared.started == Start(VERSION_1 | 0x1, QUEUES)
    assert (shared.starts, shared.broken) == (101, [])


def test_a_driver_that_restarts_at_any_write_comes_up() -> None:
    class EnoughError(Exception):
        pass

    for last in range(80):
        shared = Shared.of(2)
        turn = itertools.count()

        def looks(turn: itertools.count[int] = turn, last: int = last) -> None:
            if next(turn) == last:
                raise EnoughError

        try:
            Modern(shared, looks).probe(QUEUES)
        except EnoughError:
            pass
        else:
            break
        Modern(shared).probe(QUEUES)
        assert (shared.started, shared.broken) == (Start(VERSION_1 | 0x1, QUEUES), [])
    assert 50 < last < 79


def test_a_driver_whose_reset_was_lost_begins_anew_with_its_next_status() -> None:
    # The device answered the last driver's transaction when the next one had said its reset.
    shared, modern = running()
    modern.write(0x70, 1)
    assert (shared.started, shared.read(0x70), shared.read(0x44)) == (None, 1, 0)


def test_a_driver_that_gives_up_stops_the_device() -> None:
    shared, modern = running()
    modern.add_status(0x80)
    assert (shared.started, shared.read(0x70)) == (None, 0x8F)
    assert not shared.engine.waiting
    modern.probe(QUEUES)
    assert shared.started


def test_selections_are_forgotten_with_a_reset() -> None:
    shared = Shared.of(2)
    before = bytes(shared.data)
    modern = Modern(shared)
    for offset, value in ((0x30, 1), (0x14, 1), (0x24, 1), (0xAC, 1)):
        modern.write(offset, value)
    modern.reset()
    for offset in (0x30, 0x14, 0x24, 0xAC):  # the driver's own
        shared.write(offset, 0)
    assert shared.data == before
    modern.write(0x20, 0xFFFF_FFFF)  # the low word, so not VERSION_1
    modern.write(0x70, 0xB)
    assert shared.read(0x70) == 3


# What a driver must not do


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        (Queue(0, 0, BASE, BASE, BASE), "queue 0 has 0 descriptors, expected a power of two"),
        (Queue(0, 3, BASE, BASE, BASE), "queue 0 has 3 descriptors"),
        (
            Queue(0, 256, BASE, BASE, BASE),
            "queue 0 has 256 descriptors, expected a power of two up",
        ),
        (Queue(0, 128, BASE + 8, BASE, BASE), "the descriptor table of queue 0 is at 0x3ed10008,"),
        (
            Queue(0, 128, BASE, BASE + 1, BASE),
            "the available ring of queue 0 is at 0x3ed10001, not",
        ),
        (Queue(0, 128, BASE, BASE, BASE + 2), "the used ring of queue 0 is at 0x3ed10002, not a"),
        (Queue(0, 128, 0, BASE, BASE), "the descriptor table of queue 0 is at 0x0..0x7ff, outside"),
        (
            Queue(0, 128, BASE + (1 << 63), BASE, BASE),
            "the descriptor table of queue 0 is at 0x8000",
        ),
        (
            Queue(0, 128, BASE, MEMORY.end - 260, BASE),
            "the available ring of queue 0 is at 0x3edffefc..0x3ee00001, outside the shared memory "
            "0x3ed00000..0x3edfffff",
        ),
        (
            Queue(0, 128, BASE, BASE, MEMORY.end - 1024),
            "the used ring of queue 0 is at 0x3edffc00..",
        ),
        (Queue(0, 128, 0xFFFF_FFFF_FFFF_FFF0, BASE, BASE), "the descriptor table of queue 0 is"),
    ],
)
def test_a_wrong_queue_breaks_the_device(queue: Queue, reason: str) -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    assert modern.negotiate()
    modern.setup_vq(queue)
    assert shared.broken[0].startswith(reason)
    assert (shared.read(0x44), shared.read(0x70), shared.read(0x60)) == (0, 0xB | 64, 2)
    modern.setup_vq(QUEUES[1])
    modern.add_status(4)
    assert (shared.read(0x44), shared.read(0x70), shared.started) == (0, 0xF | 64, None)
    assert (len(shared.broken), shared.engine.waiting) == (1, False)
    modern.probe(QUEUES)
    assert shared.started


def test_a_queue_may_end_with_the_memory() -> None:
    shared = Shared.of(2)
    end = MEMORY.end
    Modern(shared).probe([Queue(0, 128, end - 2048, end - 262, end - 1032)])
    assert (shared.broken, bool(shared.started)) == ([], True)


def test_a_queue_that_is_not_there_is_never_ready() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    assert modern.negotiate()
    modern.write(0x30, 2)
    modern.write(0x38, 128)
    modern.write(0x80, BASE)
    modern.write(0x44, 1)
    assert (shared.read(0x44), shared.broken) == (0, [])


@pytest.mark.parametrize(
    ("status", "queues", "reason"),
    [
        (0x7, QUEUES, "the driver said DRIVER_OK without FEATURES_OK"),
        (0xF, (), "the driver has set up no queue"),
    ],
)
def test_driver_ok_out_of_turn_breaks_the_device(
    status: int, queues: tuple[Queue, ...], reason: str
) -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    modern.finalize_features(VERSION_1)
    for queue in queues:
        modern.setup_vq(queue)
    modern.write(0x70, status)
    assert (shared.broken, shared.read(0x70)) == ([reason], status | 64)
    modern.probe(QUEUES)
    assert shared.started


def test_registers_of_a_ready_queue_cannot_be_changed() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    assert modern.negotiate()
    modern.setup_vq(QUEUES[0])
    for offset in (0x38, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4, 0x44):
        modern.write(offset, 0xFFFF_FFFF)
    assert shared.read(0x44) == 1
    modern.add_status(4)
    assert shared.started == Start(VERSION_1 | 0x1, QUEUES[:1])


def test_a_queue_is_not_added_to_a_device_that_runs() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    modern.probe(QUEUES[:1])
    modern.setup_vq(QUEUES[1])
    assert (shared.read(0x44), shared.broken) == (0, [])
    assert shared.started == Start(VERSION_1 | 0x1, QUEUES[:1])


def test_a_queue_can_be_taken_back_before_the_device_runs() -> None:
    shared = Shared.of(2)
    modern = Modern(shared)
    assert modern.negotiate()
    modern.setup_vq(QUEUES[0])
    modern.setup_vq(QUEUES[1])
    modern.del_vq(1)
    modern.add_status(4)
    assert shared.started == Start(VERSION_1 | 0x1, QUEUES[:1])


def test_a_queue_that_is_taken_back_under_way_stops_the_device() -> None:
    shared, modern = running()
    modern.del_vq(1)
    assert (shared.started, shared.broken) == (None, ["the driver took queue 1 back"])
    assert shared.read(0x70) == 0xF | 64
    modern.probe(QUEUES)
    assert shared.started


# The back-end


def test_an_acknowledgement_clears_changes_of_the_configuration_only() -> None:
    shared, modern = running()
    shared.perform(shared.engine.config(b"\x02"))
    assert modern.interrupt() == 3
    assert modern.interrupt() == 1
    modern.write(0x64, 0xFFFF_FFFF)
    assert shared.read(0x60) == 1


def test_the_generation_is_odd_while_the_configuration_changes() -> None:
    shared, _ = running()
    actions = shared.engine.config(b"\x02\x02\x03\x04\x05\x06\x00\x00\x09")
    assert actions == [
        Put(0xFC, 1),
        Barrier(),
        Put(0x100, 0x04030202),
        Put(0x108, 0x09),
        Barrier(),
        Put(0xFC, 2),
        Put(0x60, 3),
        Kick(),
    ]
    assert shared.engine.config(b"\x02\x02\x03\x04\x05\x06\x00\x00\x09") == []


def test_a_changed_configuration_is_only_stored_if_no_driver_runs() -> None:
    shared = Shared.of(2)
    shared.perform(shared.engine.config(b"\x09"))
    assert (shared.read(0x100), shared.read(0xFC), shared.read(0x60)) == (0x09, 2, 0)
    assert shared.kicks == 0


def test_a_back_end_that_fails_is_told_until_the_driver_resets() -> None:
    shared, modern = running()
    shared.perform(shared.engine.needs_reset("it died"))
    assert (shared.started, shared.broken) == (None, ["it died"])
    assert (shared.read(0x70), shared.read(0x60)) == (0xF | 64, 3)
    assert shared.engine.needs_reset("it died again") == []
    modern.write(0x70, 0xF)  # a driver that has not seen it
    assert (shared.started, shared.read(0x70)) == (None, 0xF | 64)
    modern.write(0x70, 0xF | 64)  # one that begins anew, and the device wrote over its 0
    assert shared.read(0x70) == 0
    modern.probe(QUEUES)
    assert shared.started == Start(VERSION_1 | 0x1, QUEUES)


def test_a_back_end_that_fails_with_no_driver_is_only_told() -> None:
    shared = Shared.of(2)
    before = bytes(shared.data)
    shared.perform(shared.engine.needs_reset("it died"))
    assert (shared.broken, bytes(shared.data)) == (["it died"], before)
