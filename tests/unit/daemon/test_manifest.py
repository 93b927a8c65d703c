# SPDX-License-Identifier: BSD-3-Clause
"""What a daemon is told of its descriptors."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rslctl.daemon import descriptors, manifest
from rslctl.profile import reader
from rslctl.profile.cores import Range
from rslctl.profile.model import RemoteSide, Virtio
from rslctl.region import Region

from tests.unit import REPOSITORY

MEMORY = {"base": 0x70000000, "size": 0x1000000, "offset": 0, "remote_base": 0x70000000}


def test_a_manifest_tells_what_the_profile_does() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        document = json.loads(os.pread(daemon.fds[manifest.NAME], 65536, 0))
        assert document["version"] == 1
        assert document["memory"] == MEMORY
        rings = [f"{ring}{n}" for ring in ("notify", "kick") for n in range(4)]
        assert document["descriptors"] == ["shmem", *rings, "manifest"] == list(daemon.fds)
        assert [each["kind"] for each in document["virtio"]["devices"]][:2] == ["rng", "console"]
        assert document["virtio"]["devices"][1]["region"] == {"offset": 0x16000, "size": 0x6000}
        assert document["remote_dt"] == {"offset": 0xF00000, "size": 0x10000}
        other = json.loads(os.pread(remote.fds[manifest.NAME], 65536, 0))
        assert {**other, "role": "daemon"} == document
        assert other["role"] == "remote"


def test_nobody_can_change_a_manifest_or_the_size_of_the_memory() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        with pytest.raises(PermissionError):
            os.pwrite(daemon.fds[manifest.NAME], b"x", 0)
        # One who only reads need not seek before.
        assert json.loads(os.read(daemon.fds[manifest.NAME], 65536)) == daemon.document
        for fd in (daemon.fds["shmem"], remote.fds["shmem"]):
            for size in (0, 1 << 30):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, size)
        seals = fcntl.fcntl(daemon.fds["shmem"], fcntl.F_GET_SEALS)
        assert not seals & fcntl.F_SEAL_WRITE


def test_a_link_of_which_little_is_known_has_a_manifest_too() -> None:
    about = manifest.About("daemon", "rpu0", "mailbox", 1, None)
    assert manifest.document(about, ["mbox", "manifest"]) == {
        "version": 1,
        "role": "daemon",
        "link": "rpu0",
        "board": None,
        "transport": "mailbox",
        "vectors": 1,
        "memory": None,
        "descriptors": ["mbox", "manifest"],
        "virtio": None,
        "remote_dt": None,
    }


def test_offsets_are_from_the_start_of_the_memory() -> None:
    board = reader.load("qemu-virt")
    link = board.links[0]
    assert link.remote_dt
    about = manifest.About("daemon", "rpu0", "doorbell", 4, link.memory, board.name, link)
    document = manifest.document(about, [])
    assert document["memory"] == MEMORY
    assert document["remote_dt"]["offset"] == link.remote_dt.base - link.memory.base
    for device in document["virtio"]["devices"]:
        region = Region(device["region"]["offset"], device["region"]["size"])
        assert Region(0, link.memory.size).contains(region)


def served(virtio: Virtio, vectors: int) -> dict[str, Any]:
    """What the manifest of a link of *vectors* vectors says of *virtio*."""
    link = replace(reader.load("sim").links[0], virtio=virtio, sim=vectors)
    about = manifest.About("daemon", "rpu0", "sim", vectors, link.memory, "sim", link)
    told: dict[str, Any] = manifest.document(about, [])["virtio"]
    return told


def test_a_device_is_told_with_its_options_and_the_vectors_of_its_queues() -> None:
    words = ("net,tap=tap0", "device,id=34,queues=2,socket=/run/i2c")
    told = served(Virtio(words, device_tree=False, version=2), 4)
    assert told == {
        "version": 2,
        "device_tree": False,
        "devices": [
            {
                "kind": "net",
                "device_id": 1,
                "options": {"tap": "tap0"},
                "header": 0,
                "region": {"offset": 0x10000, "size": 0x80000},
                "queues": 2,
                "queue_size": 256,
                "vectors": [1, 2],
            },
            {
                "kind": "device",
                "device_id": 34,
                "options": {"id": "34", "queues": "2", "socket": "/run/i2c"},
                "header": 0x200,
                "region": {"offset": 0x90000, "size": 0x400000},
                "queues": 2,
                "queue_size": 128,
                "vectors": [3, 1],
            },
        ],
    }


def test_version_1_has_one_vector_for_all_queues() -> None:
    told = served(Virtio(("net", "rng"), device_tree=True), 4)
    assert told["version"] == 1
    assert [each["vectors"] for each in told["devices"]] == [[0, 0, 0], [0]]


def test_the_memory_is_told_where_the_remote_sees_it() -> None:
    link = reader.load("qemu-virt").links[0]
    reached = Range(0x10000000, link.memory.base, link.memory.size)
    link = replace(link, remote=RemoteSide(ranges=(reached,)))
    about = manifest.About("daemon", "rpu0", "doorbell", 4, link.memory, "qemu-virt", link)
    assert manifest.document(about, [])["memory"] == {**MEMORY, "remote_base": 0x10000000}
    # The profile was changed while the link is up.
    elsewhere = Region(0x60000000, 0x1000000)
    told = manifest.document(replace(about, memory=elsewhere), [])["memory"]
    assert (told["base"], told["remote_base"]) == (0x60000000, 0x60000000)


def keys(document: object) -> Iterator[str]:
    """The keys of a manifest, but those of options, which a profile has."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            if key != "options":
                yield from keys(value)
    elif isinstance(document, list):
        for each in document:
            yield from keys(each)


def test_the_document_describes_every_key() -> None:
    text = (REPOSITORY / "docs/reference/daemon.md").read_text()
    link = reader.load("sim").links[0]
    about = manifest.About("daemon", "rpu0", "sim", 4, link.memory, "sim", link)
    told = set(keys(manifest.document(about, [])))
    assert {"role", "remote_base", "queue_size"} <= told
    assert [key for key in sorted(told) if f"`{key}`" not in text] == []
