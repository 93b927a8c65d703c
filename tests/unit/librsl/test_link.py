# SPDX-License-Identifier: BSD-3-Clause
"""rsl.h: links kicked and waited for, over real descriptors."""

from __future__ import annotations

import errno
import itertools
import os
import random
import socket
import threading
from pathlib import Path

import pytest

from tests.unit.librsl.support import OFFSET, SIZE, World, as_bytes, eventfd_names, manifest, memfd

#: A counter of an eventfd that takes no more.
FULL = 2**64 - 2


def test_the_memory_is_shared_from_its_offset_on(world: World) -> None:
    os.pwrite(world.memory, b"\x07\x17", OFFSET)
    link = world.in_environment(manifest(), ["shmem", "mbox"])
    assert link.number("map") == 0
    assert link.number("map") == 0
    assert link.number("poke", 1) == 0x18
    assert os.pread(world.memory, 3, OFFSET) == b"\x07\x18\x00"
    os.pwrite(world.memory, b"\x29", OFFSET + SIZE - 1)
    assert link.number("poke", SIZE - 1) == 0x2A


def test_a_memory_that_cannot_be_mapped_is_not(world: World) -> None:
    for offset, number in ((1, errno.EINVAL), (2**63, errno.EOVERFLOW)):
        memory = {"base": 0, "size": SIZE, "offset": offset}
        link = world.by_broker(manifest(memory=memory))
        assert link.number("map") == -number


def test_the_character_device_is_written_and_read(world: World) -> None:
    link = world.in_environment(manifest(), ["shmem", "mbox"])
    assert link.number("kick", 0b1010) == 0
    assert int.from_bytes(world.remote.recv(8), "little") == 0b1010
    assert link.number("kick", 0) == 0
    assert int.from_bytes(world.remote.recv(8), "little") == 0
    assert link.number("kick", 0b10001) == -errno.EINVAL
    assert link.wait(0) == (0, 0)
    assert link.number("poll") == 0
    for mask in (0b1, 0b1111):
        world.remote.send(mask.to_bytes(4, "little"))
    assert link.number("poll") == 1
    assert link.wait(0) == (1, 0b1)
    assert link.wait(-1) == (1, 0b1111)
    assert link.number("poll") == 0


def test_all_32_vectors_of_a_character_device_can_be_kicked(world: World) -> None:
    link = world.in_environment(manifest(vectors=32), ["shmem", "mbox"])
    assert link.number("kick", 0xFFFFFFFF) == 0
    assert world.remote.recv(8) == b"\xff\xff\xff\xff"
    world.remote.send(b"\xff\xff\xff\xff")
    assert link.wait(1000) == (1, 0xFFFFFFFF)


def test_a_character_device_that_hangs_up_is_gone(world: World) -> None:
    # Of what hangs up without being readable, a pipe is what there is.
    reading, writing = os.pipe()
    world.keep(reading)
    os.write(writing, b"\x02\0\0\0")
    os.close(writing)
    document = world.keep(memfd(as_bytes(manifest())))
    fds = [("shmem", world.memory), ("mbox", reading), ("manifest", document)]
    link = world.placed(fds)
    assert link.wait(1000) == (1, 0b10)
    assert link.wait(1000) == (-errno.ENODEV, 0)
    assert link.wait(0) == (-errno.ENODEV, 0)


def test_eventfds_are_signalled_and_waited_for(world: World) -> None:
    link = world.eventfd_link()
    assert (link.errno, link.error) == (0, "")
    assert link.number("cloexec") == 0
    assert link.wait(0) == (0, 0)
    assert link.number("poll") == 0
    world.notify(0, 2, 2)
    assert link.number("poll") == 1
    assert link.wait(-1) == (1, 0b101)
    assert link.number("poll") == 0
    assert link.wait(0) == (0, 0)

    assert link.number("kick", 0b1001) == 0
    assert link.number("kick", 0b1000) == 0
    kicks = [world.eventfds[f"kick{n}"] for n in range(4)]
    assert (os.eventfd_read(kicks[0]), os.eventfd_read(kicks[3])) == (1, 2)
    for fd in kicks:
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)


def test_a_kick_of_a_vector_that_is_not_there_kicks_nothing(world: World) -> None:
    link = world.eventfd_link()
    assert link.number("kick", 0b10001) == -errno.EINVAL
    for name in eventfd_names(32):
        with pytest.raises(BlockingIOError):
            os.eventfd_read(world.eventfds[name])


def test_a_kick_coalesces_with_those_that_fill_the_counter(world: World) -> None:
    link = world.eventfd_link()
    os.eventfd_write(world.eventfds["kick0"], FULL)
    assert link.number("kick", 0b11) == 0
    assert os.eventfd_read(world.eventfds["kick0"]) == FULL
    assert os.eventfd_read(world.eventfds["kick1"]) == 1


def test_a_wait_tells_a_full_counter_once(world: World) -> None:
    link = world.eventfd_link()
    os.eventfd_write(world.eventfds["notify1"], FULL)
    assert link.wait(0) == (1, 0b10)
    assert link.wait(0) == (0, 0)


def test_no_notification_is_lost_or_told_twice(world: World) -> None:
    link = world.eventfd_link(32)
    draw = random.Random(6)  # noqa: S311 (a sequence to repeat, no secret)
    for mask in itertools.chain([0xFFFFFFFF], (draw.getrandbits(32) for _ in range(300))):
        world.notify(*(n for n in range(32) if mask >> n & 1))
        assert link.wait(1000) == (1, mask)
    assert link.wait(0) == (0, 0)


@pytest.mark.parametrize("verb", ["wait", "alarmed"])
@pytest.mark.parametrize("kind", ["mbox", "eventfds"])
def test_a_wait_takes_its_time_whatever_signals_come(world: World, kind: str, verb: str) -> None:
    if kind == "mbox":
        link = world.in_environment(manifest(), ["shmem", "mbox"])
    else:
        link = world.eventfd_link()
    for timeout in (0, 1, 205):
        rc, mask, took = map(int, link.ask(verb, timeout))
        assert (rc, mask) == (0, 0)
        assert timeout <= took < timeout + 3000


def test_a_wait_among_signals_is_ended_by_a_notification(world: World) -> None:
    link = world.eventfd_link()
    timer = threading.Timer(0.2, world.notify, [3])
    timer.start()
    rc, mask, took = map(int, link.ask("alarmed", -1))
    timer.join()
    assert (rc, mask) == (1, 0b1000)
    assert took >= 100


def test_a_device_that_goes_is_told_by_shmem_after_what_was_notified(world: World) -> None:
    # What can be polled and hang up stands for the open file of the device.
    ours, theirs = socket.socketpair()
    names = eventfd_names(4)
    document = world.keep(memfd(as_bytes(manifest(descriptors=["shmem", *names]))))
    fds = [("shmem", theirs.fileno()), *world.pairs(names), ("manifest", document)]
    link = world.placed(fds)
    assert link.errno == 0
    # A file that becomes readable is not one that hangs up.
    ours.send(b"x")
    assert link.number("poll") == 0
    assert link.wait(0) == (0, 0)
    world.notify(1)
    theirs.close()
    ours.close()
    assert link.wait(1000) == (1, 0b10)
    assert link.wait(-1) == (-errno.ENODEV, 0)
    assert link.number("poll") == 1


@pytest.mark.parametrize("name", ["{}/notify.sock", "@{}/notify"])
def test_the_service_manager_is_told(world: World, tmp_path: Path, name: str) -> None:
    path = name.format(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path.replace("@", "\0"))
        link = world.in_environment(manifest(), ["shmem", "mbox"], NOTIFY_SOCKET=path)
        assert link.number("ready") == 1
        assert manager.recv(100) == b"READY=1"


def test_without_a_service_manager_nobody_is_told(world: World, tmp_path: Path) -> None:
    names = ["shmem", "mbox"]
    assert world.in_environment(manifest(), names).number("ready") == 0
    for path, number in (
        (str(tmp_path / "none"), errno.ENOENT),
        ("@" + "x" * 200, errno.ENAMETOOLONG),
        (f"@{tmp_path}/none", errno.ECONNREFUSED),
    ):
        link = world.in_environment(manifest(), names, NOTIFY_SOCKET=path)
        assert link.number("ready") == -number
        assert link.number("close") == 3
