# SPDX-License-Identifier: BSD-3-Clause
"""A remote's program as an ELF file, and where the kernel would load it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rslctl.devicetree.tree import Tree
from rslctl.region import Region

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SEGMENT = struct.Struct("<IIIIIIII")
_EM_ARM, _PT_LOAD = 40, 1


@dataclass(frozen=True)
class Segment:
    """A segment: its address for the remote, and its size in the file and in memory in bytes."""

    address: int
    content: int
    size: int


#: The segments of the published program of OpenAMP's demonstration: vectors in the TCM, the
#: program, and buffers in the shared memory that have no content in the file.
PUBLISHED = (
    Segment(0, 0x40, 0x40),
    Segment(0x38000000, 0x2000, 0x8000),
    Segment(0x37001000, 0, 0x8000),
)


def made(segments: tuple[Segment, ...]) -> bytes:
    """A 32-bit little-endian executable for Arm of these segments."""
    offset = _HEADER.size + _SEGMENT.size * len(segments)
    headers, contents = b"", b""
    for each in segments:
        at = offset + len(contents)
        headers += _SEGMENT.pack(
            _PT_LOAD, at, each.address, each.address, each.content, each.size, 7, 4
        )
        contents += bytes(each.content)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    sizes = (_HEADER.size, _SEGMENT.size, len(segments), 0, 0, 0)
    entry = segments[0].address
    return (
        _HEADER.pack(ident, 2, _EM_ARM, 1, entry, _HEADER.size, 0, 0, *sizes) + headers + contents
    )


def refused(elf: bytes, carveouts: list[Region]) -> list[str]:
    """What the kernel says of the segments that it can load nowhere.

    Plays rproc_elf_load_segments() of drivers/remoteproc/remoteproc_elf_loader.c and, with the
    carveouts' addresses for the remote, rproc_da_to_va() of remoteproc_core.c. It copies nothing
    and reads no resource table.
    """
    _, _, machine, _, _, start, _, _, _, size, number, _, _, _ = _HEADER.unpack_from(elf)
    assert machine == _EM_ARM
    found = []
    for at in range(number):
        kind, offset, _, address, content, memory, _, _ = _SEGMENT.unpack_from(
            elf, start + size * at
        )
        if kind != _PT_LOAD or not memory:
            continue
        assert content <= memory
        assert offset + content <= len(elf)
        if not any(each.contains(Region(address, memory)) for each in carveouts):
            found.append(f"bad phdr da {address:#x} mem {memory:#x}")
    return found


def zynqmp_carveouts(tree: Tree, core: str) -> Iterator[Region]:
    """The carveouts of an R5, as the R5 sees them.

    Plays add_tcm_banks() and add_mem_regions_carveout() of
    drivers/remoteproc/xlnx_r5_remoteproc.c of Linux 6.12; it asks no firmware for the banks.
    """
    cells = tree.cells(core, "reg")
    for at in range(0, len(cells), 4):
        yield Region(cells[at + 1], cells[at + 3])
    for number in tree.cells(core, "memory-region"):
        (region,) = tree.regions(tree.phandles[number])
        yield region
