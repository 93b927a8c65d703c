# SPDX-License-Identifier: BSD-3-Clause
"""rsl.h: links taken over, kicked and waited for, over real descriptors."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.librsl import (
    DRIVER,
    EXAMPLE,
    OFFSET,
    REPOSITORY,
    SIZE,
    Link,
    as_bytes,
    build,
    built,
    eventfd_names,
    hand_over,
    manifest,
    memfd,
    spawn,
)

#: A counter of an eventfd that takes no more.
FULL = 2**64 - 2

Fds = list[tuple[str, int]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(DRIVER, tmp_path_factory.mktemp("librsl"))


@pytest.fixture
def fds() -> Iterator[Callable[..., int]]:
    """Keeps descriptors, which it returns, until the test is over."""
    kept: list[int] = []

    def keep(fd: int) -> int:
        kept.append(fd)
        return fd

    yield keep
    for fd in kept:
        os.close(fd)


class World:
    """The other end of a link, and the ways to hand over this one."""

    def __init__(self, driver: Path, directory: Path, keep: Callable[[int], int]) -> None:
        self.driver, self.path, self.keep = driver, directory / "broker.sock", keep
        self.links: list[Link] = []
        self.memory = keep(memfd(bytes(OFFSET + SIZE)))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.remote = ours
        #: Has whole masks in both directions, as the character device has.
        self.mbox = keep(theirs.detach())
        self.eventfds = {
            name: keep(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            for name in eventfd_names(32)
        }

    def pairs(self, names: list[str]) -> Fds:
        own = {"shmem": self.memory, "mbox": self.mbox, **self.eventfds}
        return [(name, own.get(name, self.memory)) for name in names]

    def in_environment(
        self, document: dict[str, Any] | str | bytes, names: list[str], **environment: str
    ) -> Link:
        """Hand the descriptors over as rslctl run does, the manifest last."""
        fds = [*self.pairs(names), ("manifest", self.keep(memfd(as_bytes(document))))]
        return self.placed(fds, **environment)

    def placed(self, fds: Fds, **environment: str) -> Link:
        link = Link(hand_over(self.driver, fds, self.driver, "link", **environment))
        self.links.append(link)
        return link

    def by_broker(
        self,
        document: dict[str, Any] | str | bytes,
        names: list[str] | None = None,
        piece: int = 4096,
    ) -> Link:
        """Hand over by a socket, in pieces of so many bytes; the names are the manifest's."""
        if names is None:
            names = json.loads(as_bytes(document))["descriptors"]
        with self.broker(as_bytes(document), [fd for _, fd in self.pairs(names)], piece):
            link = Link(spawn([self.driver, "link", self.path], []))
        self.links.append(link)
        return link

    def broker(self, answer: bytes, fds: list[int], piece: int = 4096) -> _Broker:
        return _Broker(self.path, answer, fds, piece)

    def eventfd_link(self, vectors: int = 4, **changes: Any) -> Link:
        names = ["shmem", *eventfd_names(vectors)]
        document = manifest(vectors=vectors, descriptors=names, **changes)
        return self.in_environment(document, names)

    def notify(self, *vectors: int) -> None:
        for n in vectors:
            os.eventfd_write(self.eventfds[f"notify{n}"], 1)


class _Broker:
    """Answers one client on a socket while it is entered."""

    def __init__(self, path: Path, answer: bytes, fds: list[int], piece: int) -> None:
        path.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen()
        self.answer, self.fds, self.piece = answer, fds, piece
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        client, _ = self.server.accept()
        with client:
            first, rest = self.answer[:1], self.answer[1:]
            if first:
                socket.send_fds(client, [first], self.fds)
            try:
                for at in range(0, len(rest), self.piece):
                    client.sendall(rest[at : at + self.piece])
            except BrokenPipeError:
                pass  # the client has seen enough

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.thread.join(timeout=20)
        self.server.close()


@pytest.fixture
def world(driver: Path, tmp_path: Path, fds: Callable[..., int]) -> Iterator[World]:
    world = World(driver, tmp_path, fds)
    yield world
    world.remote.close()
    for link in world.links:
        link.end()


@pytest.mark.parametrize("source", [EXAMPLE, DRIVER], ids=["example", "driver"])
@pytest.mark.parametrize(
    "command",
    [
        "cc -std=gnu99",
        "cc -std=c99 -D_DEFAULT_SOURCE -O3 -Wshadow -Wconversion -Wno-sign-conversion",
        "c++ -x c++ -std=c++11 -O2",
        "c++ -x c++ -std=c++20",
        "aarch64-linux-gnu-gcc -std=gnu99 -O2 -static",
    ],
)
def test_compilers_have_nothing_to_say(command: str, source: Path, tmp_path: Path) -> None:
    compiler, *flags = command.split()
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing")
    assert build(source, tmp_path / "program", compiler, *flags) == ""


def test_the_example_of_the_document_compiles(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to build it with")
    text = (REPOSITORY / "docs/reference/librsl.md").read_text()
    source = tmp_path / "example.c"
    source.write_text(text.split("```c\n")[1].split("```")[0])
    assert build(source, tmp_path / "example", "cc", "-std=gnu99") == ""


def test_constants_are_those_of_the_kernel(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to read the headers with")
    source = tmp_path / "same.c"
    source.write_text(
        "#include <rsl.h>\n#include <linux/rsl_mbox.h>\n"
        '_Static_assert(RSL_MAX_VECTORS == RSL_MBOX_MAX_VECTORS, "vectors");\n'
        '_Static_assert(RSL_NAME_SIZE == RSL_MBOX_LABEL_SIZE, "name");\n'
        "int main(void) { return 0; }\n"
    )
    uapi = REPOSITORY / "kmod/rsl_mbox/uapi"
    assert build(source, tmp_path / "same", "cc", "-std=gnu11", f"-I{uapi}") == ""


def test_a_link_comes_by_the_environment(world: World) -> None:
    link = world.in_environment(manifest(), ["shmem", "mbox"])
    assert (link.errno, link.error) == (0, "")
    # All but the manifest stay open.
    assert link.opened == -1
    assert link.facts == ["rpu0", "4", "0x70000000", "0x10000", "0x1000"]
    # They do not get into what the daemon starts.
    assert link.number("cloexec") == 0
    assert link.number("close") == 3


def test_descriptors_go_by_their_names_and_others_stay(world: World) -> None:
    document = world.keep(memfd(as_bytes(manifest())))
    others = [("web", world.memory), ("a-name-that-is-longer-than-any-of-a-link", world.memory)]
    fds = [*others, ("manifest", document), *world.pairs(["mbox", "shmem"]), ("", world.memory)]
    link = world.placed(fds)
    assert (link.errno, link.opened) == (0, -1)
    assert link.number("map") == 0
    # They are not touched.
    assert link.number("cloexec") == 3
    assert link.number("close") == 3 + 3


def test_a_link_comes_by_a_broker(world: World) -> None:
    for piece in (1, 100, 4096):
        link = world.by_broker(manifest(), piece=piece)
        assert (link.errno, link.error, link.opened) == (0, "", 2)
        assert link.facts == ["rpu0", "4", "0x70000000", "0x10000", "0x1000"]
        assert link.number("cloexec") == 0
        assert link.number("map") == 0
        assert link.number("close") == 3


@pytest.mark.parametrize("vectors", [1, 32])
def test_a_broker_hands_over_eventfds(world: World, vectors: int) -> None:
    names = ["shmem", *eventfd_names(vectors)]
    link = world.by_broker(manifest(vectors=vectors, descriptors=names))
    # One more, to wait with.
    assert (link.errno, link.error, link.opened) == (0, "", 2 * vectors + 2)
    world.notify(vectors - 1)
    assert link.wait(5000) == (1, 1 << vectors - 1)
    assert link.number("close") == 3


def test_a_broker_may_hand_over_what_later_versions_know(world: World) -> None:
    names = ["irq", "shmem", "a-name-that-is-longer-than-any-of-a-link", "mbox"]
    link = world.by_broker(manifest(descriptors=names))
    assert (link.errno, link.opened) == (0, 2)
    assert link.number("map") == 0


def test_a_link_without_memory_has_none_to_map(world: World) -> None:
    without = manifest(descriptors=["mbox"], memory=None)
    for document in (without, {key: without[key] for key in without if key != "memory"}):
        link = world.by_broker(document)
        assert (link.errno, link.facts[2:]) == (0, ["0", "0", "0"])
        assert link.number("map") == -errno.ENODEV


def test_a_broker_refuses_in_its_own_words(world: World) -> None:
    words = 'user 1000 may not have rpu0 \u2014 "ask"\n'
    link = world.by_broker({"version": 1, "error": words}, [])
    assert (link.errno, link.opened) == (errno.EACCES, 0)
    assert link.error + "\n" == words
    # As much of it as there is room for.
    link = world.by_broker({"version": 1, "error": "x" * 1000}, ["shmem"])
    assert (link.errno, link.error, link.opened) == (errno.EACCES, "x" * 511, 0)


BAD: dict[str, tuple[dict[str, Any] | str, str]] = {
    "empty": ("", "is not whole, or not JSON"),
    "text behind": (json.dumps(manifest()) + "x", "is not whole, or not JSON"),
    "truncated": (json.dumps(manifest())[:-1], "is not whole, or not JSON"),
    "NUL": (json.dumps(manifest()) + "\0", "is not whole, or not JSON"),
    "array": ("[]", "has no version"),
    "number": ("1", "has no version"),
    "no version": ('{"error": "no"}', "has no version"),
    "version in quotes": (manifest(version="1"), "has no version"),
    "version 2": (manifest(version=2), "of version 2, this reads 1"),
    "version 2 of an error": ('{"version": 2, "error": "no"}', "of version 2, this reads 1"),
    "no name": (manifest(link=None), "no good name"),
    "long name": (manifest(link="x" * 32), "no good name"),
    "no vectors": (manifest(vectors=0), "no good number of vectors"),
    "33 vectors": (manifest(vectors=33), "no good number of vectors"),
    "half a vector": (manifest(vectors=0.5), "no good number of vectors"),
    "negative size": (manifest(memory={"base": 0, "size": -1, "offset": 0}), "where the memory"),
    "size 0": (manifest(memory={"base": 0, "size": 0, "offset": 0}), "where the memory"),
    "no offset": (manifest(memory={"base": 0, "size": 1}), "where the memory"),
    "no memory": (manifest(memory=None), "descriptor shmem, the manifest has no memory"),
    "too long": (json.dumps(manifest()) + " " * 65536, "longer than 65536 bytes"),
}


@pytest.mark.parametrize("way", ["environment", "broker"])
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_manifest_is_refused_and_nothing_stays_open(world: World, way: str, bad: str) -> None:
    document, words = BAD[bad]
    if way == "environment":
        link = world.in_environment(document, ["shmem", "mbox"])
        gone = -3
    else:
        link = world.by_broker(document, ["shmem", "mbox"])
        gone = 0
    assert (link.errno, link.opened) == (errno.EPROTO, gone)
    assert words in link.error


def test_a_manifest_may_have_64_kib(world: World) -> None:
    document = as_bytes(manifest()).ljust(65536)
    assert world.in_environment(document, ["shmem", "mbox"]).errno == 0
    assert world.by_broker(document, ["shmem", "mbox"]).errno == 0


@pytest.mark.parametrize(
    ("named", "sent", "words"),
    [
        (["shmem", "mbox"], [], "0 descriptors came, the manifest names more"),
        (["shmem", "mbox"], ["shmem"], "1 descriptors came, the manifest names more"),
        (["shmem", "mbox"], ["shmem", "mbox", "x"], "3 descriptors came, the manifest names less"),
        ([], ["shmem"], "1 descriptors came, the manifest names less"),
        (None, ["shmem"], "1 descriptors came, the manifest names less"),
        (["shmem", "mbox", "shmem"], ["shmem", "mbox", "x"], "descriptor shmem twice"),
        (["shmem"], ["shmem"], "descriptor mbox is missing, or notify0 of 4"),
        (["mbox"], ["mbox"], "no descriptor shmem, the manifest has memory"),
        (
            ["shmem", *eventfd_names(3)],
            ["shmem", *eventfd_names(3)],
            "descriptor mbox is missing, or notify3 of 4",
        ),
        (
            ["shmem", *eventfd_names(4)[:-1]],
            ["shmem", *eventfd_names(4)[:-1]],
            "descriptor mbox is missing, or kick3 of 4",
        ),
        ([f"x{n}" for n in range(66)], ["x"] * 66, "no descriptor shmem"),
        ([f"x{n}" for n in range(67)], ["x"] * 67, "more descriptors than this process can take"),
    ],
)
def test_other_descriptors_than_named_are_refused_and_closed(
    world: World, named: list[str] | None, sent: list[str], words: str
) -> None:
    link = world.by_broker(manifest(descriptors=named), sent)
    assert (link.errno, link.opened) == (errno.EPROTO, 0)
    assert words in link.error


@pytest.mark.parametrize(
    ("environment", "number", "words", "gone"),
    [
        ({"LISTEN_PID": "1"}, errno.ENOENT, "for process 1, this is", 0),
        ({"LISTEN_PID": ""}, errno.ENOENT, "for process , this is", 0),
        ({"LISTEN_FDS": ""}, errno.EPROTO, "LISTEN_FDS= is no number", 0),
        ({"LISTEN_FDS": "3x"}, errno.EPROTO, "LISTEN_FDS=3x is no number", 0),
        ({"LISTEN_FDS": "-3"}, errno.EPROTO, "LISTEN_FDS=-3 is no number", 0),
        ({"LISTEN_FDS": "9" * 30}, errno.EPROTO, "is no number", 0),
        ({"LISTEN_FDS": "4"}, errno.EPROTO, "3 names for LISTEN_FDS=4", 3),
        ({"LISTEN_FDS": "2"}, errno.EPROTO, "3 names for LISTEN_FDS=2", 2),
        ({"LISTEN_FDS": "0"}, errno.EPROTO, "3 names for LISTEN_FDS=0", 0),
        ({"LISTEN_FDNAMES": "shmem:mbox:shmem"}, errno.EPROTO, "has shmem twice", 2),
        ({"LISTEN_FDNAMES": "shmem:mbox:x"}, errno.EPROTO, "no descriptor manifest in", 2),
        ({"LISTEN_FDNAMES": "shmem:mbox"}, errno.EPROTO, "2 names for LISTEN_FDS=3", 2),
        (
            {"LISTEN_FDNAMES": "shmem:mbox:x:kick0", "LISTEN_FDS": "4"},
            errno.EBADF,
            "descriptor 6, kick0 of LISTEN_FDNAMES: Bad file descriptor",
            2,
        ),
    ],
)
def test_an_environment_that_fits_badly_is_refused(
    world: World, environment: dict[str, str], number: int, words: str, gone: int
) -> None:
    link = world.in_environment(manifest(), ["shmem", "mbox"], **environment)
    assert (link.errno, link.opened) == (number, -gone)
    assert words in link.error


def test_without_an_environment_there_is_no_link(world: World) -> None:
    for environment in ({}, {"LISTEN_PID": "1"}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}):
        link = Link(spawn([world.driver, "link"], [], **environment))
        assert (link.errno, link.opened) == (errno.ENOENT, 0)
        assert link.error == "no descriptors in the environment: use rslctl run"
        link.end()


def test_without_a_broker_there_is_no_link(world: World) -> None:
    long = "/" + "x" * 107
    for path, number in (
        (str(world.path), errno.ENOENT),
        (long, errno.ENAMETOOLONG),
        (long[:-1], errno.ENOENT),
    ):
        link = Link(spawn([world.driver, "link", path], []))
        assert (link.errno, link.opened) == (number, 0)
        assert link.error == f"{path}: {os.strerror(number)}"
        link.end()
    world.broker(b"", []).server.close()
    link = Link(spawn([world.driver, "link", world.path], []))
    assert (link.errno, link.opened) == (errno.ECONNREFUSED, 0)
    link.end()


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
    document = world.keep(memfd(as_bytes(manifest())))
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


def test_numbers_and_texts_are_found_in_the_manifest(world: World) -> None:
    link = world.in_environment(manifest(), ["shmem", "mbox"])
    assert link.ask("number", "memory.base") == ["0", str(0x70000000)]
    assert link.ask("number", "virtio.devices.0.header") == ["0", "512"]
    assert link.ask("text", "virtio.devices.0.kind") == ["0", b"rng".hex()]
    assert link.ask("text", "descriptors.1") == ["0", b"mbox".hex()]
    for path in ("memory.bas", "virtio.devices.1.header", "remote_dt.offset", "link.0", ""):
        assert link.ask("number", path)[0] == str(-errno.ENOENT)
        assert link.ask("text", path)[0] == str(-errno.ENOENT)
    for path in ("link", "virtio", "remote_dt", "of-tomorrow.0.x"):
        assert link.ask("number", path)[0] == str(-errno.EPROTO)
    assert link.ask("text", "vectors")[0] == str(-errno.EPROTO)
    link.ask("close")
    assert link.ask("number", "vectors")[0] == str(-errno.ENOENT)


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


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(EXAMPLE, tmp_path_factory.mktemp("example"))


class TestExample:
    """The daemon to start from."""

    @staticmethod
    def answers(process: subprocess.Popen[str], world: World) -> None:
        """It answers on all vectors, and says how many at its end."""
        assert process.stdout
        expected = f"daemon: link rpu0, 4 vectors, {SIZE} bytes of memory\n"
        assert process.stdout.readline() == expected
        for n in (0, 3, 1, 2, 2):
            world.notify(n)
            kicked = world.eventfds[f"kick{n}"]
            os.set_blocking(kicked, True)
            assert os.eventfd_read(kicked) == 1
            os.set_blocking(kicked, False)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "daemon: answered 5 notifications\n", "")

    def test_it_answers_under_rslctl_run(self, world: World, example: Path, tmp_path: Path) -> None:
        names = ["shmem", *eventfd_names(4)]
        fds = [*world.pairs(names), ("manifest", world.keep(memfd(as_bytes(manifest()))))]
        path = str(tmp_path / "notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            process = hand_over(world.driver, fds, example, NOTIFY_SOCKET=path)
            self.answers(process, world)
            assert manager.recv(100) == b"READY=1"

    def test_it_answers_with_a_broker(self, world: World, example: Path) -> None:
        names = ["shmem", *eventfd_names(4)]
        answer = as_bytes(manifest(descriptors=names))
        with world.broker(answer, [fd for _, fd in world.pairs(names)]):
            process = spawn([example, world.path], [])
        self.answers(process, world)

    def test_it_says_that_it_has_no_link(self, example: Path) -> None:
        process = spawn([example], [])
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (1, "")
        assert err == "daemon: no link: no descriptors in the environment: use rslctl run\n"

    def test_it_ends_when_the_link_goes(self, world: World, example: Path) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(world.keep(reading), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        document = world.keep(memfd(as_bytes(manifest(memory=None))))
        process = hand_over(world.driver, [("mbox", reading), ("manifest", document)], example)
        os.close(writing)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (1, f"daemon: rpu0: {os.strerror(errno.ENODEV)}\n")
        assert out.splitlines()[0] == "daemon: link rpu0, 4 vectors, 0 bytes of memory"
