# SPDX-License-Identifier: BSD-3-Clause
"""The devices in a link's memory, for people who look: nothing is written, and no process asked.

Headers tell where they are. Without a device tree they are in a row at the start of the memory.
With one, the first is behind it, and each begins a region, whose size it has. Both the RSL daemon
and this project's write them so. The report in a header of a device that runs is this project's
alone. The remote can write all of it: it is shown and never believed.
"""

from __future__ import annotations

import mmap
import os

from rslctl.errors import RslError
from rslctl.linux import mbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rslctl.linux.host import Host

#: Kinds by the virtio device ID; others are called "device". The same as profile/virtio.py has,
#: which takes longer to load than the rest of "rslctl status".
KINDS = {1: "net", 2: "blk", 3: "console", 4: "rng", 9: "9p", 19: "vsock", 26: "fs"}

#: As in registers.py, whose enumerations take longer to load: size and first bytes of a header,
#: offsets of registers, and bits of STATUS.
_SIZE = 0x200
_MAGIC = b"virt"
_VERSION, _DEVICE_ID, _STATUS = 0x04, 0x08, 0x70
_DEVICE_FEATURES, _DRIVER_FEATURES = 0x10, 0x20
_SHM_LEN_LOW, _SHM_LEN_HIGH = 0xB0, 0xB4
_DRIVER_OK = 4
_STATES = {64: "broken", 128: "failed", _DRIVER_OK: "running"}
#: As in profile/virtio.py.
_DEVICE_TREE_SIZE = 0x10000
#: As in report.py.
_REPORT = 0x180
_REPORT_MAGIC = b"rslq"
_BACK_END, _OFFERED, _TAKEN, _COUNT, _QUEUE, _QUEUE_SIZE = 4, 8, 16, 24, 32, 12
_QUEUES = 8
_AWAY = 2
#: Where the index is in a ring: struct vring_avail and struct vring_used of virtio 1.2, 2.7.
_RING_INDEX = 2
#: A region is a multiple of so many bytes.
_PAGE = 4096
#: The most headers that are in a row. A row of regions is not longer, whatever a remote writes.
_MOST = _DEVICE_TREE_SIZE // _SIZE


def read(host: Host, link: mbox.LinkDevice) -> list[dict[str, Any]] | None:
    """Return what docs/reference/status.md says of each device; an empty list if there is none.

    None if this process may not open the link, or it has no memory.
    """
    if not link.memory_size:
        return None
    try:
        # A file that is open for reading only is not counted in open_files.
        with mbox.Mailbox(host, link, flags=os.O_RDONLY) as mailbox:
            descriptor, size = mailbox.fileno(), link.memory_size
            found = list(_headers(descriptor, size))
            # Where nobody serves the devices, what is there was left.
            reports = [
                _report(descriptor, header[_REPORT:], size) if link.open_files else None
                for _, header in found
            ]
    except (OSError, RslError):
        return None
    kinds = [KINDS.get(_word(header, _DEVICE_ID), "device") for _, header in found]
    return [
        {
            "name": kind if kinds.count(kind) == 1 else f"{kind}{kinds[:number].count(kind)}",
            "kind": kind,
            "header": offset,
            **_told(header, reports[number], served=bool(link.open_files)),
        }
        for number, (kind, (offset, header)) in enumerate(zip(kinds, found, strict=True))
    ]


def _headers(descriptor: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The offset and a copy of each header in a memory of *size* bytes."""
    offset = 0
    header = _copy(descriptor, offset, size)
    in_row = header[:4] == _MAGIC
    if not in_row:
        offset = _DEVICE_TREE_SIZE
        header = _copy(descriptor, offset, size)
    for _ in range(_MOST):
        if header[:4] != _MAGIC:
            return
        yield offset, header
        region = _word(header, _SHM_LEN_LOW) | _word(header, _SHM_LEN_HIGH) << 32
        if not in_row and (not region or region % _PAGE):
            return
        offset += _SIZE if in_row else region
        header = _copy(descriptor, offset, size)


def _report(descriptor: int, report: bytes, size: int) -> dict[str, Any] | None:
    """What the report of a device tells; None if there is none."""
    if report[:4] != _REPORT_MAGIC:
        return None
    queues = []
    for number in range(min(_word(report, _COUNT), _QUEUES)):
        at = _QUEUE + number * _QUEUE_SIZE
        queue = _word(report, at)
        available, used = (
            _ring_index(descriptor, _word(report, at + ring), size) for ring in (4, 8)
        )
        told = {"queue": queue >> 16 & 0xFF, "size": queue & 0xFFFF, "vector": queue >> 24}
        queues.append({**told, "available": available, "used": used})
    return {
        "away": _word(report, _BACK_END) == _AWAY,
        "features_offered": _word(report, _OFFERED) | _word(report, _OFFERED + 4) << 32,
        "features_taken": _word(report, _TAKEN) | _word(report, _TAKEN + 4) << 32,
        "queues": queues,
    }


def _ring_index(descriptor: int, ring: int, size: int) -> int | None:
    """The index of the ring at an offset that is a multiple of 2; None if it cannot be there."""
    at = ring + _RING_INDEX
    word = b"" if at % 2 else _copy(descriptor, at & ~3, size, 4)
    return int.from_bytes(word[at % 4 :][:2], "little") if word else None


def _copy(descriptor: int, offset: int, size: int, length: int = _SIZE) -> bytes:
    """A copy of *length* bytes at *offset*; b"" if the memory of *size* bytes ends before.

    Every word of 32 bits is read by one aligned access.
    """
    if offset + length > size:
        return b""
    within = offset % mmap.ALLOCATIONGRANULARITY
    try:
        mapped = mmap.mmap(
            descriptor,
            within + length,
            flags=mmap.MAP_SHARED,
            prot=mmap.PROT_READ,
            offset=offset - within,
        )
    except ValueError:  # a file in place of the device, which is shorter than the memory
        return b""
    with mapped, memoryview(mapped) as whole, whole[within:].cast("I") as words:
        copy = words.tolist()
    return b"".join(word.to_bytes(4, "little") for word in copy)


def _word(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4], "little")


def _told(header: bytes, report: dict[str, Any] | None, *, served: bool) -> dict[str, Any]:
    """What a header and a report say; *served*: whether there can be a daemon."""
    version = _word(header, _VERSION)
    status = _word(header, _STATUS)
    state = _state(status) if served else "left"
    # In version 2 the registers have the words that were selected last.
    offered = _word(header, _DEVICE_FEATURES) if version == 1 else None
    taken = _word(header, _DRIVER_FEATURES) if version == 1 and status & _DRIVER_OK else None
    queues = None
    if report and state == "running":
        state = "away" if report["away"] else state
        queues = report["queues"]
        if version != 1:
            offered, taken = report["features_offered"], report["features_taken"]
    return {
        "device_id": _word(header, _DEVICE_ID),
        "version": version,
        "status": status,
        "state": state,
        "features_offered": offered,
        "features_taken": taken,
        "queues": queues,
    }


def _state(status: int) -> str:
    for bit, state in _STATES.items():
        if status & bit:
            return state
    return "negotiating" if status else "offered"


def not_taken(device: dict[str, Any]) -> list[int] | None:
    """The bits of features that the driver did not take; None if that cannot be known."""
    offered, taken = device["features_offered"], device["features_taken"]
    if offered is None or taken is None:
        return None
    return [bit for bit in range(64) if offered >> bit & 1 and not taken >> bit & 1]
