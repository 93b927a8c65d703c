# SPDX-License-Identifier: BSD-3-Clause
"""The manifest: the description of the descriptors for a daemon: docs/reference/daemon.md."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rslctl.profile import virtio
from rslctl.profile.cores import seen
from rslctl.profile.model import Link
from rslctl.region import Region

VERSION = 1

#: The receiver of the descriptors. A remote gets descriptors if two programs play a link.
ROLES = ("daemon", "remote")

#: The name of the descriptor of the manifest itself.
NAME = "manifest"

#: The seals that fix the size of a memfd (fcntl(2)), so that a process that maps it gets no SIGBUS.
SIZE_SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True)
class About:
    """A link as its manifest describes it."""

    role: str
    link: str
    transport: str
    vectors: int
    #: The shared memory; None if the link has none.
    memory: Region | None
    #: The board that was set up, and the link in its profile; None if that is not known.
    board: str | None = None
    profile: Link | None = None


def document(about: About, descriptors: Sequence[str]) -> dict[str, Any]:
    """The manifest of *descriptors*, given by their names; sizes and offsets are in bytes."""
    memory, profile = about.memory, about.profile
    room = profile.remote_dt if profile and memory else None
    return {
        "version": VERSION,
        "role": about.role,
        "link": about.link,
        "board": about.board,
        "transport": about.transport,
        "vectors": about.vectors,
        "memory": _memory(memory, profile) if memory else None,
        "descriptors": list(descriptors),
        "virtio": _virtio(profile, about.vectors) if profile and memory else None,
        "remote_dt": {"offset": room.base - memory.base, "size": room.size}
        if room and memory
        else None,
    }


def _memory(memory: Region, profile: Link | None) -> dict[str, int]:
    """The memory, where Linux and where the remote have it.

    A link that is up may have other memory than its profile, which may have changed since. Where
    the remote has that is not known.
    """
    remote = seen(profile.ranges, memory) if profile else None
    return {
        "base": memory.base,
        "size": memory.size,
        "offset": 0,
        "remote_base": (remote or memory).base,
    }


def _virtio(link: Link, count: int) -> dict[str, Any] | None:
    """The devices of a link with *count* vectors."""
    served = link.virtio
    if served is None:
        return None
    devices = virtio.arrange(served.devices, device_tree=served.device_tree, version=served.version)
    vectors = virtio.vectors(devices, count if served.version == 2 else 1)
    return {
        "version": served.version,
        "device_tree": served.device_tree,
        "devices": [
            {
                "kind": each.kind,
                "device_id": each.device_id,
                "options": each.options,
                "header": each.header,
                "region": {"offset": each.region.offset, "size": each.region.size},
                "queues": each.queues,
                "queue_size": each.queue_size,
                "vectors": list(own),
            }
            for each, own in zip(devices, vectors, strict=True)
        ],
    }


def encode(manifest: dict[str, Any]) -> bytes:
    """A manifest as JSON."""
    return json.dumps(manifest).encode()


def sealed(data: bytes) -> int:
    """A descriptor, at offset 0, of a sealed memfd with *data*, which no process can change."""
    fd = os.memfd_create(f"rsl-{NAME}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.pwrite(fd, data, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SIZE_SEALS | fcntl.F_SEAL_WRITE)
    return fd
