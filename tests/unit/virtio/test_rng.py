# SPDX-License-Identifier: BSD-3-Clause
"""The entropy device that is built in."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from rslctl.virtio import rng
from rslctl.virtio.backend import VERSION_1, Event, What

from tests.unit.virtio.split_ring import Device, settle, turn


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device([128])
    yield device
    device.close()


@pytest.fixture
def backend(device: Device) -> Iterator[rng.RngBackend]:
    backend = rng.RngBackend(device.memory, lambda: None)
    yield backend
    backend.close()


class Early:
    """Plays getrandom(2) on a machine whose generator is not initialised for some calls.

    What it leaves out: random(4), which on the machine of the tests is readable long since, where
    that of a machine that starts is not.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
        self.left = calls
        self._real = os.getrandom
        monkeypatch.setattr(os, "getrandom", self)

    def __call__(self, size: int, flags: int) -> bytes:
        assert flags == os.GRND_NONBLOCK
        if self.left:
            self.left -= 1
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._real(size, flags)


def test_it_is_an_entropy_device(backend: rng.RngBackend) -> None:
    assert (backend.device_id, backend.queues) == (4, (128,))
    assert (backend.offered(), backend.config()) == (VERSION_1, b"")


def test_requests_are_filled_with_random_bytes(device: Device, backend: rng.RngBackend) -> None:
    driver = device.drivers[0]
    first, second = (device.buffer(bytes(64)) for _ in range(2))
    heads = [driver.add([], [each]) for each in (first, second)]
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert [driver.get(), driver.get()] == [(head, 64) for head in heads]
    contents = {device.memory.read(*each) for each in (first, second)}
    assert len(contents) == 2
    assert bytes(64) not in contents
    assert device.kicks(0) == 1


def test_nothing_is_written_behind_the_buffers(device: Device, backend: rng.RngBackend) -> None:
    a, _, b, _ = (device.buffer(bytes(64)) for _ in range(4))
    head = device.drivers[0].add([], [a, b])
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert device.drivers[0].get() == (head, 128)
    for address, length in (a, b):
        assert device.memory.read(address, length) != bytes(64)
        assert device.memory.read(address + length, 64) == bytes(64)


def test_a_large_request_gets_64_kib(device: Device, backend: rng.RngBackend) -> None:
    address, length = device.buffer(bytes(100_000))
    head = device.drivers[0].add([], [(address, length)])
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert device.drivers[0].get() == (head, 65536)
    assert device.memory.read(address + 65536, length - 65536) == bytes(length - 65536)


def test_a_request_without_a_buffer_to_write_comes_back(
    device: Device, backend: rng.RngBackend
) -> None:
    head = device.drivers[0].add([device.buffer(b"x")], [])
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert device.drivers[0].get() == (head, 0)


def test_many_requests_are_answered_some_at_each_wake(
    device: Device, backend: rng.RngBackend
) -> None:
    driver = device.drivers[0]
    for _ in range(2 * rng.REQUESTS + 1):
        driver.add([], [device.buffer(bytes(8))])
    backend.start(backend.offered(), device.wired)
    answered = []
    while turn(backend)[0]:
        answered.append(len([*iter(driver.get, None)]))
    assert answered == [rng.REQUESTS, rng.REQUESTS, 1]


def test_a_request_waits_for_the_kernels_generator(
    device: Device, backend: rng.RngBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = Early(monkeypatch, 3)
    driver = device.drivers[0]
    heads = [driver.add([], [device.buffer(bytes(32))]) for _ in range(2)]
    idle = {*os.listdir("/proc/self/fd")}
    backend.start(backend.offered(), device.wired)
    for left in (2, 1, 0):
        turn(backend)
        assert early.left == left
        assert driver.get() is None
    settle(backend)
    assert [driver.get(), driver.get()] == [(head, 32) for head in heads]
    assert {*os.listdir("/proc/self/fd")} == idle


def test_a_stop_forgets_the_request_that_waits(
    device: Device, backend: rng.RngBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    Early(monkeypatch, 1)
    idle = {*os.listdir("/proc/self/fd")}
    device.drivers[0].add([], [device.buffer(bytes(32))])
    backend.start(backend.offered(), device.wired)
    turn(backend)
    backend.stop()
    assert {*os.listdir("/proc/self/fd")} == idle
    settle(backend)
    assert device.drivers[0].get() is None
    device.restart()
    backend.start(backend.offered(), device.wired)
    settle(backend)
    assert device.drivers[0].get() is None
    head = device.drivers[0].add([], [device.buffer(bytes(16))])
    device.notify(0)
    settle(backend)
    assert device.drivers[0].get() == (head, 16)


def test_a_machine_without_a_way_to_wait_is_told(
    device: Device, backend: rng.RngBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(path: str, flags: int) -> int:
        """open(2) in a root directory without /dev."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    Early(monkeypatch, 1)
    monkeypatch.setattr(os, "open", absent)
    device.drivers[0].add([], [device.buffer(bytes(32))])
    backend.start(backend.offered(), device.wired)
    told = "cannot open '/dev/random': No such file or directory"
    assert settle(backend) == Event(What.FAILED, told)


def test_a_driver_that_lies_is_told(device: Device, backend: rng.RngBackend) -> None:
    device.drivers[0].offer(128)
    backend.start(backend.offered(), device.wired)
    reason = "queue 0 of 128: chain 128: there is no descriptor 128"
    assert settle(backend) == Event(What.FAILED, reason)
