# SPDX-License-Identifier: BSD-3-Clause
"""Version 1 against a driver of existing firmware, however late the device looks."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from rslctl.virtio.engine import Action, Barrier, Kick, Put, Queue, Start, Stop

from tests.unit.virtio.firmware import PFN, ConfigurationError, Firmware, Shared, Step, run

OTHER = (PFN + 0x10, PFN + 0x20)


def booted(**changes: object) -> Shared:
    shared = Shared.of(1, **changes)
    run(Firmware().boot(shared), shared)
    return shared


def serves(shared: Shared, firmware: Firmware) -> bool:
    return shared.started == Start(firmware.features, firmware.queues())


def test_the_header_has_what_firmware_finds_before_it_writes() -> None:
    shared = Shared.of(1, queues=(256, 128))
    words = {at: shared.read(at) for at in range(0, 0x180, 4) if shared.read(at)}
    assert words == {
        0x00: 0x74726976,
        0x04: 1,
        0x08: 3,
        0x0C: 0x4D564B4C,
        0x10: 0x3,
        0x28: 0x1000,
        0x30: 0x00FF00FF,
        0x34: 128,  # the same for all queues
        0x38: 0x00FF00FF,
        0x3C: 0x1000,
        0xB0: 0x6000,
        0xB8: 0x3ED1_0000,
        0x100: 0x04030201,
        0x104: 0x0605,
    }


def test_magic_goes_first_and_comes_last() -> None:
    actions = Shared.of(1).engine.publish()
    assert actions[:2] == [Put(0, 0), Barrier()]
    assert actions[-2:] == [Barrier(), Put(0, 0x74726976)]
    assert not any(isinstance(each, Put) and each.offset == 0 for each in actions[2:-1])


def test_features_of_64_bits_and_of_vhost_user_itself_are_not_offered() -> None:
    assert Shared.of(1, features=(1 << 64) - 1).read(0x10) == 0xFFFF_FFFF & ~(1 << 30)


@pytest.mark.parametrize("statuses", [(1, 2, 4), (1, 3, 7)])
def test_firmware_boots(statuses: tuple[int, int, int]) -> None:
    shared, firmware = Shared.of(1), Firmware(statuses=statuses, features=0x5)
    run(firmware.boot(shared), shared)
    assert shared.started == Start(0x1, firmware.queues())
    assert (shared.kicks, shared.broken) == (2, [])
    assert (shared.engine.waiting, shared.engine.unsure) == (False, False)


def test_the_driver_is_told_to_go_on_when_nothing_of_the_device_comes_any_more() -> None:
    shared = Shared.of(1)
    for step in Firmware().boot(shared):
        if step is Step.WAIT:
            break
    actions = shared.look()
    assert actions == [Put(0x38, 0x00FF00FF), Barrier(), Put(0x40, 0xAABBAABB), Kick()]
    assert shared.engine.waiting


def test_a_device_that_is_waited_for_in_vain_has_firmware_give_up() -> None:
    shared = Shared.of(1)
    with pytest.raises(ConfigurationError, match="queue 0 is not acknowledged"):
        list(Firmware().boot(shared))


def test_a_driver_may_leave_queues_out() -> None:
    shared, firmware = Shared.of(1, queues=(128, 128, 128)), Firmware()
    run(firmware.boot(shared), shared)
    assert serves(shared, firmware)


def test_interrupts_stay_set_and_acknowledgements_are_taken() -> None:
    shared = booted()
    assert Firmware().interrupt(shared)
    assert shared.look() == [Put(0x64, 0)]
    assert shared.read(0x60) == 1
    assert shared.look() == []


def test_an_acknowledgement_does_not_hide_what_else_was_written() -> None:
    shared = booted()
    firmware = Firmware()
    steps = firmware.boot(shared)
    for step in steps:
        if step is Step.WAIT:
            break
    shared.write(0x64, 1)
    actions = shared.look()
    assert actions[0] == Put(0x64, 0)
    assert Stop() in actions
    assert shared.read(0x40) == 0xAABBAABB


@pytest.mark.parametrize("pfns", [(PFN, PFN + 2), OTHER, (PFN,)])
@pytest.mark.parametrize("adds", [False, True])
def test_firmware_restarts_a_hundred_times(adds: bool, pfns: tuple[int, ...]) -> None:
    shared = booted()
    for _ in range(100):
        firmware = Firmware(pfns, adds=adds)
        run(firmware.boot(shared), shared)
        assert serves(shared, firmware)
    assert (shared.starts, shared.broken) == (101, [])


def test_a_reset_alone_stops_the_device() -> None:
    shared = booted()
    shared.write(0x70, 0)
    assert shared.look() == [Stop(), Put(0x60, 0), Kick()]
    assert not shared.engine.waiting


def test_a_driver_that_gives_up_stops_the_device() -> None:
    shared = booted()
    shared.write(0x70, 0x80 | 0x7)
    assert Stop() in shared.look()
    assert not shared.engine.waiting
    run(Firmware().boot(shared), shared)
    assert serves(shared, Firmware())


# Interleavings: what the device sees depends on when it looks


Choose = Callable[[Step], Iterator[str]]


def state(shared: Shared, pending: list[Action]) -> tuple[object, ...]:
    own = [tuple(each) if isinstance(each, list) else each for each in vars(shared.engine).values()]
    return bytes(shared.data), *own[1:], shared.started, *pending


def explore(
    prepare: Callable[[], Shared], drivers: Callable[[Shared], Iterator[Step]], choose: Choose
) -> tuple[int, list[Shared]]:
    """Try every sequence of the device's doings between the driver's steps.

    *choose* yields what may come after a step: "look", "rest" (look, and look again after a pause),
    "read" (look, but store nothing yet), "store" (what was read), or "" for nothing. Two sequences
    that lead to the same state are continued once. Return how many steps were tried, and the ends.
    """
    seen: set[tuple[object, ...]] = set()
    ends: list[Shared] = []
    tried = 0
    unfinished = [(pickle.dumps((prepare(), list[Action]())), list[Step](), "")]
    while unfinished:
        before, done, choice = unfinished.pop()
        shared, pending = pickle.loads(before)  # noqa: S301
        steps = resume(shared, drivers, done)
        if done and done[-1] is Step.WAIT:  # the device has all the time that it needs
            shared.perform(pending)
            pending = []
            shared.settle()
        elif choice == "read":
            pending = shared.engine.look(bytes(shared.data))
        elif choice == "store":
            shared.perform(pending)
            pending = []
        elif choice:
            shared.look()
            if choice == "rest" and shared.engine.unsure:
                shared.look(rested=True)
        tried += 1
        step = next(steps, None)
        # Whether the driver had to wait makes no difference to it.
        key = (len(done) - done.count(Step.WAIT), step, *state(shared, pending))
        if step is None:
            shared.perform(pending)
            shared.settle()
            ends.append(shared)
        elif key not in seen:
            seen.add(key)
            after = pickle.dumps((shared, pending))
            # One look is finished before the next begins.
            possible = {"", "store"} if pending else {"", "look", "rest", "read"}
            now = [*done, step]
            unfinished += [(after, now, each) for each in choose(step) if each in possible]
    return tried, ends


def resume(
    shared: Shared, drivers: Callable[[Shared], Iterator[Step]], done: list[Step]
) -> Iterator[Step]:
    """A driver that has done these steps; the header is as it was after them."""
    data = bytes(shared.data)
    steps = drivers(shared)
    for number, step in enumerate(done):
        assert next(steps) is step
        # What it read next was PFN_ACK, unless it went on to wait.
        waits = done[number + 1 : number + 2] == [Step.WAIT]
        shared.write(0x40, 0 if waits else 0xAABBAABB)
    shared.data[:] = data
    return steps


def any_look(step: Step) -> Iterator[str]:
    """A device that looks at any time, or not. It does not see the driver rest within a queue."""
    yield ""
    if step is not Step.WAIT:
        yield "look"
        if step is not Step.SOON:
            yield "rest"


def slow_look(step: Step) -> Iterator[str]:
    """A device that may take its time between reading the header and storing its answers."""
    yield ""
    if step is not Step.WAIT:
        yield from ("look", "read", "store")


@pytest.mark.parametrize("pfns", [(PFN,), (PFN, PFN + 2)])
@pytest.mark.parametrize("statuses", [(1, 2, 4), (1, 3, 7)])
def test_whenever_the_device_looks_the_driver_comes_to_the_same_end(
    pfns: tuple[int, ...], statuses: tuple[int, int, int]
) -> None:
    firmware = Firmware(pfns, statuses=statuses)
    for choose in (any_look, slow_look):
        tried, ends = explore(lambda: Shared.of(1), firmware.boot, choose)
        assert tried > 50
        assert ends
        for shared in ends:
            assert serves(shared, firmware)
            assert (shared.starts, shared.broken, shared.read(0x60)) == (1, [], 1)


@pytest.mark.parametrize("after", range(1, 19))
@pytest.mark.parametrize("ran", [False, True])
@pytest.mark.parametrize("pfns", [(PFN, PFN + 2), OTHER])
@pytest.mark.parametrize("adds", [False, True])
def test_firmware_that_restarts_at_any_moment_boots_whenever_the_device_looks(
    adds: bool, pfns: tuple[int, ...], ran: bool, after: int
) -> None:
    """Restart after so many steps; before it, with *ran*, the device served another driver."""
    second = Firmware(pfns, adds=adds)

    def both(shared: Shared) -> Iterator[Step]:
        yield from islice(Firmware(adds=adds).boot(shared), after)
        yield from second.boot(shared)

    tried, ends = explore(booted if ran else lambda: Shared.of(1), both, any_look)
    assert tried > 20
    assert ends
    for shared in ends:
        assert serves(shared, second)
        assert shared.broken == []


@pytest.mark.parametrize("pfns", [(PFN,), OTHER])
def test_firmware_that_restarts_under_a_running_device_is_answered_at_the_first_look(
    pfns: tuple[int, ...],
) -> None:
    shared, firmware = Shared.of(1), Firmware((PFN,))
    run(firmware.boot(shared), shared)
    for step in Firmware(pfns).boot(shared):
        if step is Step.WAIT:
            break
    shared.look()
    assert shared.read(0x40) == 0xAABBAABB


def test_a_driver_that_rests_before_it_writes_the_next_pfn_is_not_answered_yet() -> None:
    shared = Shared.of(1)
    steps = Firmware().boot(shared)
    for step in steps:
        if step is Step.WAIT:
            shared.settle()
        if step is Step.SOON and shared.read(0x30) == 1:
            break
    assert shared.look() == shared.look(rested=True) == []
    assert not shared.engine.unsure


# What a driver must not do


def setup(shared: Shared, **values: int) -> list[Action]:
    """Write a queue's registers as a driver that has said DRIVER, and look."""
    offsets = {"page": 0x28, "sel": 0x30, "num": 0x38, "align": 0x3C, "pfn": 0x40}
    shared.write(0x70, 2)
    for name, value in {"page": 4096, "sel": 0, "num": 128, "align": 4096, **values}.items():
        shared.write(offsets[name], value)
    return shared.look()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pfn": 1}, "the descriptor table of queue 0 is at 0x1000..0x17ff, outside the shared"),
        ({"pfn": 0xFFFF_FFFF}, "the descriptor table of queue 0 is at 0xffffffff000..0xffffffff7"),
        ({"pfn": 0x3EDFF}, "the used ring of queue 0 is at 0x3ee00000..0x3ee00405, outside"),
        ({"pfn": 0x3ECFF}, "the descriptor table of queue 0 is at 0x3ecff000..0x3ecff7ff, outside"),
        ({"num": 0}, ""),
        ({"num": 100}, "queue 0 has 100 descriptors, expected a power of two up to 128"),
        ({"num": 256}, "queue 0 has 256 descriptors, expected a power of two up to 128"),
        ({"num": 1 << 31}, "queue 0 has 2147483648 descriptors"),
        ({"align": 0}, "the alignment of queue 0 has 0 bytes, expected a power of two from 16"),
        ({"align": 24}, "the alignment of queue 0 has 24 bytes"),
        ({"align": 1 << 31}, "the alignment of queue 0 has 2147483648 bytes"),
        ({"page": 8}, "the page of queue 0 has 8 bytes, expected a power of two from 16 to 65536"),
    ],
)
def test_a_wrong_queue_breaks_the_device(values: dict[str, int], reason: str) -> None:
    shared = Shared.of(1)
    setup(shared, **{"pfn": PFN, **values})
    if not reason:  # a size that was not written is the largest
        assert shared.read(0x40) == 0xAABBAABB
        return
    assert shared.broken[0].startswith(reason)
    assert (shared.read(0x70), shared.read(0x60), shared.kicks) == (2 | 64, 2, 1)
    assert shared.read(0x40) != 0xAABBAABB
    assert shared.look() == []
    assert not shared.engine.waiting
    run(Firmware().boot(shared), shared)
    assert serves(shared, Firmware())


def test_a_queue_may_end_with_the_memory() -> None:
    shared = Shared.of(1)
    setup(shared, num=128, pfn=0x3EE00 - 2)
    assert (shared.broken, shared.read(0x40)) == ([], 0xAABBAABB)


def test_a_queue_too_many_breaks_the_device() -> None:
    shared, firmware = Shared.of(1), Firmware((PFN, PFN + 2, PFN + 4))
    with pytest.raises(ConfigurationError, match="queue 2"):
        run(firmware.boot(shared), shared)
    assert shared.broken == ["the driver sets up 3 queues, of 2"]


def test_a_driver_without_queues_breaks_the_device() -> None:
    shared = Shared.of(1)
    run(Firmware(()).boot(shared), shared)
    assert shared.broken == ["the driver has set up no queue"]


def test_a_broken_device_serves_firmware_that_restarts_and_is_seen_late() -> None:
    shared = Shared.of(1)
    setup(shared, pfn=1)
    steps = Firmware().boot(shared)
    for step in steps:
        if step is Step.WAIT:
            shared.settle()
            assert shared.read(0x40) == 0xAABBAABB
    shared.look()
    assert serves(shared, Firmware())


def test_a_queue_that_a_running_driver_sets_up_anew_stops_the_device() -> None:
    shared = booted()
    shared.write(0x40, PFN)
    assert Stop() in shared.look()
    assert not shared.started  # STATUS says DRIVER_OK still, which is the last driver's
    assert shared.read(0x40) == 0xAABBAABB


def test_a_status_that_says_needs_reset_starts_nothing() -> None:
    # The device's NEEDS_RESET went over what the driver, which began anew, had written.
    shared = booted()
    shared.perform(shared.engine.needs_reset("it died"))
    shared.write(0x40, PFN)
    shared.look()
    assert shared.read(0x40) == 0xAABBAABB
    shared.write(0x40, PFN)
    shared.look()
    assert not shared.started


def test_a_needs_reset_over_the_status_of_a_driver_that_begins_anew_harms_nothing() -> None:
    shared = booted()
    steps = Firmware(OTHER).boot(shared)
    for step in steps:
        if step is Step.WAIT:
            break
    # The back-end fails at what it sees in the old queues, before the device looks.
    shared.perform(shared.engine.needs_reset("the available index went from 1 to 0"))
    for _ in range(3):
        shared.settle()
    run(steps, shared)
    shared.settle()
    assert serves(shared, Firmware(OTHER))


# The back-end


@pytest.mark.parametrize("adds", [False, True])
def test_a_back_end_that_fails_is_told_and_firmware_that_restarts_gets_another(adds: bool) -> None:
    shared = booted()
    shared.perform(shared.engine.needs_reset("it died"))
    assert (shared.broken, shared.started) == (["it died"], None)
    assert (shared.read(0x70), shared.read(0x60)) == (4 | 64, 3)
    Firmware().interrupt(shared)
    assert (shared.look(), shared.read(0x60)) == ([Put(0x64, 0), Put(0x60, 1)], 1)
    assert shared.engine.needs_reset("it died again") == []
    run(Firmware(OTHER, adds=adds).boot(shared), shared)
    assert serves(shared, Firmware(OTHER))


def test_a_back_end_that_fails_with_no_driver_is_only_told() -> None:
    shared = Shared.of(1)
    before = bytes(shared.data)
    shared.perform(shared.engine.needs_reset("it died"))
    assert (shared.broken, bytes(shared.data)) == (["it died"], before)


def test_a_changed_configuration_is_told_to_a_driver_that_runs() -> None:
    shared = booted()
    shared.write(0x64, 3)  # an acknowledgement of before
    shared.perform(shared.engine.config(b"\x01\x02\x03\x04\x07\x07"))
    assert (shared.read(0x104), shared.read(0x60), shared.kicks) == (0x0707, 3, 3)
    assert shared.look() == []
    Firmware().interrupt(shared)
    assert shared.look() == [Put(0x64, 0), Put(0x60, 1)]
    assert shared.engine.config(b"\x01\x02\x03\x04\x07\x07") == []


def test_a_changed_configuration_is_only_stored_if_no_driver_runs() -> None:
    shared = Shared.of(1)
    shared.perform(shared.engine.config(b"\x09"))
    assert (shared.read(0x100), shared.read(0x104)) == (0x09, 0)
    assert (shared.kicks, shared.read(0x60)) == (0, 0)
    shared.perform(shared.engine.publish())
    assert shared.read(0x100) == 0x09


def test_queues_are_laid_out_as_vring_init_does() -> None:
    # vring_init() of include/uapi/linux/virtio_ring.h at 4096, worked out by hand.
    shared = booted()
    assert shared.started
    base = PFN * 4096
    assert shared.started.queues[0] == Queue(0, 128, base, base + 0x800, base + 0x1000)
