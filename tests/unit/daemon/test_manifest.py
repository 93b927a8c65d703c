# SPDX-License-Identifier: BSD-3-Clause
"""What a daemon is told of its descriptors."""

from __future__ import annotations

import fcntl
import json
import os

import pytest
from rslctl.daemon import descriptors, manifest
from rslctl.profile import reader
from rslctl.region import Region

from tests.unit import REPOSITORY


def test_a_manifest_tells_what_the_profile_does() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        document = json.loads(os.pread(daemon.fds[manifest.NAME], 65536, 0))
        assert document["version"] == 1
        assert document["memory"] == {"base": 0x70000000, "size": 0x1000000, "offset": 0}
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
    assert document["memory"] == {"base": 0x70000000, "size": 0x1000000, "offset": 0}
    assert document["remote_dt"]["offset"] == link.remote_dt.base - link.memory.base
    for device in document["virtio"]["devices"]:
        region = Region(device["region"]["offset"], device["region"]["size"])
        assert Region(0, link.memory.size).contains(region)


def test_the_document_describes_every_key() -> None:
    text = (REPOSITORY / "docs/reference/daemon.md").read_text()
    about = manifest.About("daemon", "rpu0", "mailbox", 1, None)
    assert [key for key in manifest.document(about, []) if f"`{key}`" not in text] == []
