# SPDX-License-Identifier: BSD-3-Clause
"""Devices by the functions of rsl_remote.h, with the engines of rslctl virtio at the other end."""

from __future__ import annotations

import pytest
from rslctl.virtio.engine import Action, Put
from rslctl.virtio.engines import engine
from rslctl.virtio.rng import RngBackend
from rslctl.virtio.version1 import Version1
from rslctl.virtio.version2 import Version2

from tests.unit.rsl_remote.conftest import MakeLink
from tests.unit.rsl_remote.devices import Net, Vsock
from tests.unit.rsl_remote.support import (
    ABSENT,
    AGAIN,
    BASE,
    FULL,
    INVALID,
    LOST,
    REFUSED,
    REGIONS,
    SILENT,
    Link,
    Served,
    serve,
)

both = pytest.mark.parametrize("version", [1, 2])


def rng(link: Link, size: int = 0x6000) -> Served:
    return serve(link, RngBackend(link.memory, lambda: None), size)


def up(link: Link, served: Served, queues: int = 1) -> None:
    """Begin a device as the functions below those of a kind do."""
    assert link.number("find", served.backend.device_id, 0) == 0
    assert link.number("reset") == 0
    assert link.number("negotiate", (1 << 64) - 1) == 0
    for index in range(queues):
        assert link.number("setup", index, 64) == 0
    assert link.number("start") == 0


@both
def test_a_daemon_that_is_not_there_is_waited_for(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    assert link.number("daemon", 0, 0) == SILENT
    assert link.number("daemon", 0, 10) == SILENT
    assert link.number("find", 4, 0) == ABSENT
    rng(link)
    assert link.number("daemon", 0, 30000) == 0
    assert link.number("daemon", 0x900000 - 4, 0) == INVALID


@both
def test_devices_are_found_by_kind_and_number(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    rng(link)
    serve(link, Vsock(link.memory))
    rng(link)
    assert link.ask("find", 4, 0) == ["0", "0"]
    assert link.ask("find", 4, 1) == ["0", "400"]
    assert link.ask("find", 19, 0) == ["0", "200"]
    assert link.number("find", 19, 1) == ABSENT
    assert link.ask("open", 0x200) == ["0", "200"]
    assert link.number("open", 0x600) == ABSENT
    assert link.number("open", 2) == INVALID
    link.put(0x204, 3 - version)
    assert link.number("find", 19, 0) == REFUSED


@both
def test_random_bytes_come(make_link: MakeLink, version: int) -> None:
    link = make_link(version, 3)
    served = rng(link)
    up(link, served)
    assert link.number("queue", "get", 0) == AGAIN
    assert link.number("queue", "add", 0, 0, 1, 64) == 0
    assert link.number("queue", "notify", 0) == 0
    assert link.ask("queue", "get", 0) == ["0", "1", "64"]
    assert any(link.map[link.end - 4096 : link.end - 4096 + 64])
    assert served.starts == 1
    assert not served.broken


@both
def test_a_remote_that_begins_again_is_a_new_driver(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    for turn in range(1, 4):
        assert link.number("find", 4, 0) == 0
        assert link.number("rng", "begin") == 0
        assert (served.starts, served.stops) == (turn, turn - 1)
        assert link.number("rng", "read", 16) == AGAIN
        assert len(link.data("rng", "read", 16)) == 16
    assert not served.broken


@both
def test_a_remote_that_begins_again_halfway_is_a_new_driver(
    make_link: MakeLink, version: int
) -> None:
    link = make_link(version)
    served = rng(link)
    for verb in (["reset"], ["negotiate", 0], ["setup", 0, 64], ["reset"], ["setup", 0, 64]):
        link.ask("find", 4, 0)
        link.ask(*verb)
    assert link.number("rng", "begin") == 0
    assert link.number("rng", "read", 16) == AGAIN
    assert len(link.data("rng", "read", 16)) == 16
    assert served.starts == 1


@both
def test_a_daemon_that_begins_again_is_a_lost_device(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    up(link, served)
    assert link.number("lost") == 0
    served.stop()
    link.map[:0x200] = bytes(0x200)
    assert link.number("lost") == 1
    served.perform(engine(version, link.identity(served.backend, 0x1000)).publish())
    assert link.number("lost") == 1
    assert link.number("queue", "get", 0) == LOST
    assert link.number("changed") == LOST
    assert link.number("find", 4, 0) == 0
    assert link.number("lost") == 0


@both
def test_a_device_that_needs_a_reset_is_a_lost_device(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    up(link, served)
    served.perform(_whole(served).needs_reset("the back-end is gone"))
    assert link.number("lost") == 1
    assert link.number("queue", "get", 0) == LOST
    up(link, served)
    assert link.number("lost") == 0
    assert served.starts == 2


def test_a_queue_that_the_device_refuses_is_not_waited_for(make_link: MakeLink) -> None:
    """Version 1 tells it by NEEDS_RESET, and never by PFN_ACK."""
    link = make_link(1)
    served = rng(link)
    assert link.number("find", 4, 0) == 0
    assert link.number("reset") == 0
    assert link.number("negotiate", 0) == 0
    assert link.number("setup", 0, 64) == 0
    assert link.number("setup", 1, 64) == LOST
    assert served.broken == ["the driver sets up 2 queues, of 1"]
    assert link.number("silences") == 0


def _whole(served: Served) -> Version1 | Version2:
    assert isinstance(served.engine, (Version1, Version2))
    return served.engine


@both
def test_a_changed_configuration_is_told_once(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = serve(link, Net(link.memory))
    up(link, served, 2)
    assert link.number("changed") == 0
    served.perform(_whole(served).config(bytes.fromhex("0a0b0c0d0e0f0000")))
    assert link.number("changed") == 1
    assert link.number("changed") == 0
    assert link.data("config", 1, 4) == bytes.fromhex("0b0c0d0e")
    assert link.number("config", 0xFF, 1) == 0
    assert link.number("config", 0xFF, 2) == INVALID


def test_a_configuration_that_is_being_changed_is_not_read(make_link: MakeLink) -> None:
    link = make_link(2)
    serve(link, Net(link.memory))
    link.ask("find", 1, 0)
    link.put(0xFC, 3)
    assert link.number("config", 0, 6) == AGAIN
    link.put(0xFC, 4)
    assert link.number("config", 0, 6) == 0


@both
def test_kicks_reach_the_device_that_they_are_for(make_link: MakeLink, version: int) -> None:
    link = make_link(version, 5)
    serve(link, Vsock(link.memory))
    served = rng(link)
    up(link, served)
    link.ask("kicks", 0)
    link.kick(1)  # the first queue of the other device
    assert link.ask("kicks", 0) == ["1", "1" if version == 1 else "0"]
    link.kick(0)
    assert link.ask("kicks", 0) == ["1", "1"]
    link.ask("queue", "add", 0, 0, 1, 64)
    link.ask("queue", "notify", 0)
    assert link.ask("kicks", 0) == ["1", "1"]


@both
def test_a_queue_that_the_device_does_not_have_is_absent(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    link.ask("find", 4, 0)
    link.ask("reset")
    link.ask("negotiate", 0)
    if version == 2:
        assert link.number("setup", 1, 64) == ABSENT
        return
    # Version 1 does not tell how many there are: the device says that the driver is wrong.
    assert link.number("setup", 0, 64) == 0
    assert link.number("setup", 1, 64) in (LOST, FULL)
    assert "2 queues" in " ".join(served.broken)


@both
def test_a_region_without_room_is_full(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    rng(link, 0x1000)
    link.ask("find", 4, 0)
    assert link.number("rng", "begin") == (FULL if version == 1 else 0)
    assert link.number("alloc", 0x1001, 4) == -1


@both
@pytest.mark.parametrize(
    ("base", "size"),
    [(BASE - 0x1000, 0x6000), (BASE + 0x8FF000, 0x2000), (BASE, 1 << 63), (0, 0xFFFF_FFFF)],
)
def test_a_region_outside_of_the_memory_is_refused(
    make_link: MakeLink, version: int, base: int, size: int
) -> None:
    link = make_link(version)
    served = rng(link)
    link.ask("find", 4, 0)
    for at, value in ((0xB0, size), (0xB8, base)):
        link.fill(at, "<Q", value)
    if version == 2:
        served.engine = _Unmoved(served)
    assert link.number("reset") == REFUSED


class _Unmoved:
    """An engine whose region is where the test has put it."""

    def __init__(self, served: Served) -> None:
        self.inner = served.engine

    def publish(self) -> list[Action]:
        return self.inner.publish()

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        found = self.inner.look(header, rested=rested)
        return [
            each for each in found if not (isinstance(each, Put) and 0xB0 <= each.offset < 0xC0)
        ]


@both
def test_what_cannot_be_added_is_refused(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    up(link, rng(link))
    assert link.number("queue", "add", 0, 0, 0, 64) == INVALID
    assert link.number("queue", "add", 0, 0, 65, 64) == INVALID
    assert link.number("queue", "add", 0, 0, 1, 0) == INVALID
    assert link.number("queue", "add", 0, 0, 1, 0x900000) == INVALID
    assert link.number("queue", "add", 0, 0, 60, 64) == 0
    assert link.number("queue", "add", 0, 0, 5, 64) == AGAIN
    assert link.number("queue", "add", 0, 0, 4, 64) == 0
    assert link.number("queue", "notify", 0) == 0
    assert link.ask("queue", "get", 0) == ["0", "1", str(60 * 64)]
    assert link.number("queue", "add", 0, 0, 60, 64) == 0


@both
def test_all_descriptors_come_round_many_times(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    up(link, rng(link))
    for turn in range(300):
        assert link.number("queue", "add", 0, 0, 1 + turn % 7, 8) == 0
        link.ask("queue", "notify", 0)
        assert link.ask("queue", "get", 0) == ["0", "1", str(8 * (1 + turn % 7))]


@both
def test_a_device_that_wants_no_notifications_gets_none(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    up(link, served)
    link.trace()
    queue = served.wired[0][1].queue
    link.memory.set_u16(queue.used, 1)
    link.ask("queue", "notify", 0)
    assert link.trace() == []
    link.memory.set_u16(queue.used, 0)
    link.ask("queue", "notify", 0)
    assert ("notify", 0, 0) in link.trace()


@both
def test_a_remote_that_wants_no_kicks_says_so(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    served = rng(link)
    up(link, served)
    queue = served.wired[0][1].queue
    assert link.number("queue", "interrupts", 0, 0) == 0
    assert link.memory.u16(queue.avail) == 1
    link.ask("queue", "add", 0, 0, 1, 8)
    link.ask("queue", "notify", 0)
    assert link.number("queue", "interrupts", 0, 1) == 1
    assert link.memory.u16(queue.avail) == 0


@both
@pytest.mark.parametrize(
    ("index", "head", "length", "result"),
    [
        (1, 0, 1 << 31, ["0", "1", "64"]),  # a legacy device's length
        (1, 64, 0, [str(LOST)]),  # no descriptor that the driver uses
        (1, 0xFFFF_FFFF, 0, [str(LOST)]),
        (1, 1, 0, [str(LOST)]),  # one that begins no chain
        (2, 0, 0, [str(LOST)]),  # more than the device has
        (0xFFFF, 0, 0, [str(LOST)]),
    ],
)
def test_used_buffers_are_not_believed(
    make_link: MakeLink, version: int, index: int, head: int, length: int, result: list[str]
) -> None:
    link = make_link(version)
    served = rng(link)
    up(link, served)
    link.ask("queue", "add", 0, 0, 1, 64)
    used = served.wired[0][1].queue.used
    link.fill(used - BASE + 4, "<II", head, length)
    link.memory.set_u16(used + 2, index)
    assert link.ask("queue", "get", 0)[: len(result)] == result
    assert link.number("lost") == (result == [str(LOST)])


def test_vectors_that_the_link_does_not_have_are_refused(make_link: MakeLink) -> None:
    link = make_link(2, 2)
    backend = RngBackend(link.memory, lambda: None)
    identity = link.identity(backend, 0x6000)
    served = link.serve(engine(2, identity), backend, (0,))
    link.ask("find", 4, 0)
    link.ask("reset")
    link.ask("negotiate", 0)
    served.engine = _Vectors(served)
    assert link.number("setup", 0, 64) == REFUSED


class _Vectors(_Unmoved):
    """An engine that tells of vector 2 for all queues."""

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        found = self.inner.look(header, rested=rested)
        return [
            Put(each.offset, 2) if isinstance(each, Put) and each.offset in (0xD4, 0xD8) else each
            for each in found
        ]


def test_a_region_is_where_its_registers_say(make_link: MakeLink) -> None:
    link = make_link(2)
    served = rng(link)
    up(link, served)
    queue = served.wired[0][1].queue
    assert queue.desc == BASE + REGIONS
