# SPDX-License-Identifier: BSD-3-Clause
"""What the back-ends that are built in share, on the smallest of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from rslctl.virtio.backend import BackendError, Event, What
from rslctl.virtio.built_in import BuiltIn

from tests.unit.virtio.split_ring import Device, settle, turn


class Counter(BuiltIn):
    """Gives back one chain at each wake, as a real back-end gives back a bounded number."""

    device_id = 4
    queues: tuple[int, ...] = (8,)
    broken = False

    def _work(self) -> bool:
        if self.broken:
            raise BackendError("it is broken")
        queue = self._served.get(0)
        chain = queue.pop() if queue else None
        if queue is None or chain is None:
            return False
        queue.push(chain, 0)
        return True


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device([8])
    yield device
    device.close()


@pytest.fixture
def backend(device: Device) -> Iterator[Counter]:
    backend = Counter(device.memory, lambda: None)
    yield backend
    backend.close()


def used(device: Device) -> int:
    """How many chains have come back since the last call."""
    return len([*iter(device.drivers[0].get, None)])


def add(device: Device, number: int) -> None:
    for _ in range(number):
        device.drivers[0].add([device.buffer(b"x")], [])


def test_a_notification_has_the_queue_served(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    assert settle(backend) is None
    add(device, 1)
    assert turn(backend) == (False, None)
    device.notify(0)
    settle(backend)
    assert used(device) == 1
    assert device.kicks(0) == 1


def test_what_is_in_the_queue_at_the_start_is_served(device: Device, backend: Counter) -> None:
    add(device, 1)
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert used(device) == 1


def test_a_wake_does_a_bounded_piece_and_the_rest_follows(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    settle(backend)
    add(device, 3)
    device.notify(0)
    turn(backend)
    assert used(device) == 1
    settle(backend)
    assert used(device) == 2


def test_a_driver_that_wants_no_interrupts_is_not_kicked(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    device.drivers[0].suppress(1)
    add(device, 1)
    settle(backend)
    assert used(device) == 1
    assert device.kicks(0) == 0


def test_a_driver_is_kicked_for_nothing_but_chains(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    device.notify(0)
    settle(backend)
    assert device.kicks(0) == 0


def test_a_stopped_back_end_leaves_the_queues_alone(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    settle(backend)
    add(device, 1)
    device.notify(0)
    backend.stop()
    backend.stop()
    assert device.wired[0].kick not in backend.watch()
    assert backend.ready(device.wired[0].kick, 1) is None
    settle(backend)
    assert used(device) == 0
    assert device.kicks(0) == 0


def test_a_start_after_a_reset_begins_with_the_first_entry(
    device: Device, backend: Counter
) -> None:
    for _ in range(2):
        backend.start(backend.offered(), device.wired)
        add(device, 5)
        settle(backend)
        assert used(device) == 5
        backend.stop()
        device.restart()


def test_a_driver_that_lies_stops_the_back_end(device: Device, backend: Counter) -> None:
    backend.start(backend.offered(), device.wired)
    device.drivers[0].offer(9)
    reason = "queue 0 of 8: chain 9: there is no descriptor 9"
    assert settle(backend) == Event(What.FAILED, reason)
    assert device.wired[0].kick not in backend.watch()
    assert settle(backend) is None
    device.restart()
    backend.start(backend.offered(), device.wired)
    add(device, 1)
    settle(backend)
    assert used(device) == 1


def test_a_back_end_that_cannot_go_on_says_so(device: Device, backend: Counter) -> None:
    backend.broken = True
    backend.start(backend.offered(), device.wired)
    assert settle(backend) == Event(What.FAILED, "it is broken")


def test_the_caller_keeps_its_descriptors(device: Device) -> None:
    before = {*os.listdir("/proc/self/fd")}
    backend = Counter(device.memory, lambda: None)
    backend.start(backend.offered(), device.wired)
    backend.close()
    backend.close()
    assert {*os.listdir("/proc/self/fd")} == before
    device.notify(0)


def test_a_process_without_descriptors_is_told(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> int:
        """eventfd(2) at the limit of RLIMIT_NOFILE."""
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "eventfd", refuse)
    with pytest.raises(BackendError, match="cannot make an eventfd: Too many open files"):
        Counter(device.memory, lambda: None)
