# SPDX-License-Identifier: BSD-3-Clause
"""The devices in a link's memory, for people who look: nothing is written, and no process asked.

Headers tell where they are. Without a device tree they are in a row at the start of the memory.
With one, the first is behind it, and each begins a region, whose size it has. Both the RSL daemon
and this project's write them so. The remote can write all of it: it is shown and never believed.
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
            found = list(_headers(mailbox.fileno(), link.memory_size))
    except (OSError, RslError):
        return None
    kinds = [KINDS.get(_word(header, _DEVICE_ID), "device") for _, header in found]
    return [
        {
            "name": kind if kinds.count(kind) == 1 else f"{kind}{kinds[:number].count(kind)}",
            "kind": kind,
            "header": offset,
            **_told(header, served=bool(link.open_files)),
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


def _copy(descriptor: int, offset: int, size: int) -> bytes:
    """A copy of the header at *offset*; b"" if the memory of *size* bytes ends before.

    Every register is read by one aligned access.
    """
    if offset + _SIZE > size:
        return b""
    within = offset % mmap.ALLOCATIONGRANULARITY
    try:
        mapped = mmap.mmap(
            descriptor,
            within + _SIZE,
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


def _told(header: bytes, *, served: bool) -> dict[str, Any]:
    """What a header says; *served*: whether there can be a daemon."""
    version = _word(header, _VERSION)
    status = _word(header, _STATUS)
    # In version 2 the registers have the words that were selected last.
    known = version == 1
    return {
        "device_id": _word(header, _DEVICE_ID),
        "version": version,
        "status": status,
        "state": _state(status) if served else "left",
        "features_offered": _word(header, _DEVICE_FEATURES) if known else None,
        "features_taken": _word(header, _DRIVER_FEATURES)
        if known and status & _DRIVER_OK
        else None,
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
    return [bit for bit in range(32) if offered >> bit & 1 and not taken >> bit & 1]
