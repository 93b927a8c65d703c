# SPDX-License-Identifier: BSD-3-Clause
"""rsl.h: links taken over, and what is no link."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from tests.unit.librsl.support import Link, World, as_bytes, eventfd_names, manifest, memfd, spawn


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
def test_a_bad_manifest_is_refused_and_changes_nothing(world: World, way: str, bad: str) -> None:
    document, words = BAD[bad]
    if way == "environment":
        link = world.in_environment(document, ["shmem", "mbox"])
    else:
        link = world.by_broker(document, ["shmem", "mbox"])
    # What a broker gave is closed, what the process had stays.
    assert (link.errno, link.opened) == (errno.EPROTO, 0)
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
    ("environment", "number", "words"),
    [
        ({"LISTEN_PID": "1"}, errno.ENOENT, "for process 1, this is"),
        ({"LISTEN_PID": ""}, errno.ENOENT, "for process , this is"),
        ({"LISTEN_FDS": ""}, errno.EPROTO, "LISTEN_FDS= is no number"),
        ({"LISTEN_FDS": "3x"}, errno.EPROTO, "LISTEN_FDS=3x is no number"),
        ({"LISTEN_FDS": "-3"}, errno.EPROTO, "LISTEN_FDS=-3 is no number"),
        ({"LISTEN_FDS": "9" * 30}, errno.EPROTO, "is no number"),
        ({"LISTEN_FDS": "4"}, errno.EPROTO, "3 names for LISTEN_FDS=4"),
        ({"LISTEN_FDS": "2"}, errno.EPROTO, "3 names for LISTEN_FDS=2"),
        ({"LISTEN_FDS": "0"}, errno.EPROTO, "3 names for LISTEN_FDS=0"),
        ({"LISTEN_FDNAMES": "shmem:mbox:x"}, errno.EPROTO, "no descriptor manifest in"),
        ({"LISTEN_FDNAMES": "shmem:mbox"}, errno.EPROTO, "2 names for LISTEN_FDS=3"),
        ({"LISTEN_FDNAMES": "manifest:mbox:manifest"}, errno.EPROTO, "has manifest twice"),
        (
            {"LISTEN_FDNAMES": "x:mbox:manifest:shmem", "LISTEN_FDS": "4"},
            errno.EBADF,
            "descriptor 6, shmem of LISTEN_FDNAMES: Bad file descriptor",
        ),
        (
            {"LISTEN_FDNAMES": "shmem:mbox:x:manifest", "LISTEN_FDS": "4"},
            errno.EBADF,
            "descriptor 6, manifest of LISTEN_FDNAMES: Bad file descriptor",
        ),
    ],
)
def test_an_environment_that_fits_badly_is_refused(
    world: World, environment: dict[str, str], number: int, words: str
) -> None:
    link = world.in_environment(manifest(), ["shmem", "mbox"], **environment)
    assert (link.errno, link.opened) == (number, 0)
    assert words in link.error


def test_a_name_of_the_link_comes_once(world: World) -> None:
    document = world.keep(memfd(as_bytes(manifest())))
    fds = [*world.pairs(["shmem", "mbox", "mbox"]), ("manifest", document)]
    link = world.placed(fds)
    assert (link.errno, link.opened) == (errno.EPROTO, 0)
    assert link.error == "LISTEN_FDNAMES has mbox twice"


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
