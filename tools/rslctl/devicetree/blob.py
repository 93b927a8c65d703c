# SPDX-License-Identifier: BSD-3-Clause
"""The reader of flattened device trees, and of what a file is if it is none.

The format is that of Devicetree Specification v0.4, chapter 5. The package fdt writes blobs, but
cannot read all: it takes no FDT_NOP, and raises any exception on malformed input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rslctl.errors import RslError
from rslctl.region import Region

_MAGIC = 0xD00DFEED
_BEGIN_NODE, _END_NODE, _PROP, _NOP, _END = 1, 2, 3, 4, 9

#: The versions of the format that can be read: 17 is the newest, 16 is compatible with it.
_VERSIONS = (16, 17)

#: What other files begin with, what they are, and what to do with them.
_OTHERS = (
    (b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it with unxz"),
    (b"\x5d\0\0", "compressed with lzma", "unpack it with unlzma"),
    (b"BZh", "compressed with bzip2", "unpack it with bunzip2"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with unzstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it with unlz4"),
    (b"\x02\x21\x4c\x18", "compressed with lz4", "unpack it with unlz4"),
    (b"\x27\x05\x19\x56", "a U-Boot image (uImage)", "take the tree out with dumpimage"),
    (b"\xd7\xb7\xab\x1e", "an Android table of device trees", "take one out with mkdtboimg"),
    (b"ANDROID!", "an Android boot image", "take the tree out with unpack_bootimg"),
    (b"\x7fELF", "an ELF file", ""),
    (b"MZ", "an EFI program or a kernel image", ""),
    (b"\xed\xfe\x0d\xd0", "a device tree blob with its bytes swapped", ""),
)


@dataclass(frozen=True)
class Blob:
    """What a blob holds."""

    #: The properties of each node, by its path.
    nodes: dict[str, dict[str, bytes]]
    #: The regions in the memory reservation block.
    reserved: tuple[Region, ...]


def read(data: bytes, source: str) -> Blob:
    """Parse a device tree blob; *source* is its name in messages.

    Bytes behind the size that the header says are left out.

    Raises:
        RslError: the data are not a device tree blob, or not a whole one.
    """
    if data[:4] != struct.pack(">I", _MAGIC):
        raise _no_blob(data, source)
    try:
        return _Reader(data, source).blob()
    except (struct.error, IndexError) as error:
        raise _damaged(source, "a part of it is outside the file") from error


def _no_blob(data: bytes, source: str) -> RslError:
    hint = "--base takes a .dtb"
    if not data:
        return RslError(f"{source}: is empty, not a device tree blob", hint=hint)
    for start, what, remedy in _OTHERS:
        if data.startswith(start):
            return RslError(f"{source}: is {what}, not a device tree blob", hint=remedy or hint)
    if b"/dts-v1/" in data[:65536]:
        remedy = f"compile it: dtc -@ -I dts -O dtb -o base.dtb {source}"
        return RslError(f"{source}: is device tree source, not a device tree blob", hint=remedy)
    return RslError(
        f"{source}: is not a device tree blob: it begins with {data[:4].hex(' ')}, "
        "not with d0 0d fe ed",
        hint=hint,
    )


def _damaged(source: str, text: str) -> RslError:
    return RslError(
        f"{source}: is a damaged device tree blob: {text}", hint="get the file anew, and try again"
    )


class _Reader:
    """The reader of one blob."""

    def __init__(self, data: bytes, source: str) -> None:
        self._source = source
        if len(data) < 40:
            raise self._short(40, data)
        (size, self._struct, self._strings, self._reserved, version, compatible) = (
            struct.unpack_from(">6I", data, 4)
        )
        if not compatible <= _VERSIONS[1] or version < _VERSIONS[0]:
            raise _damaged(source, f"its version is {version}, expected 16 or 17")
        if size > len(data):
            raise self._short(size, data)
        strings, structure = struct.unpack_from(">2I", data, 32)
        ends = [("strings", self._strings + strings), ("reservation", self._reserved + 16)]
        # Version 16 does not say how long the structure block is.
        if version >= _VERSIONS[1]:
            ends.append(("structure", self._struct + structure))
        for name, end in ends:
            if end > size:
                raise _damaged(
                    source,
                    f"its header says that it has {size} bytes, and that its {name} block ends "
                    f"at {end}",
                )
        self._data = data[:size]

    def _short(self, size: int, data: bytes) -> RslError:
        return RslError(
            f"{self._source}: is a device tree blob that is cut short: it has {len(data)} bytes "
            f"of {size}",
            hint="get the file anew, and try again",
        )

    def blob(self) -> Blob:
        return Blob(self._nodes(), tuple(self._reservations()))

    def _reservations(self) -> Iterator[Region]:
        at = self._reserved
        while (entry := struct.unpack_from(">QQ", self._data, at)) != (0, 0):
            yield Region(*entry)
            at += 16

    def _nodes(self) -> dict[str, dict[str, bytes]]:
        nodes: dict[str, dict[str, bytes]] = {}
        above: list[str] = []
        names: dict[int, str] = {}
        at, data = self._struct, self._data
        while True:
            (token,) = struct.unpack_from(">I", data, at)
            at += 4
            if token == _PROP and above:
                length, offset = struct.unpack_from(">II", data, at)
                at += 8
                if offset not in names:
                    names[offset] = self._name(self._strings + offset)[0]
                if at + length > len(data):
                    raise _damaged(self._source, f"property {names[offset]} does not end")
                nodes[above[-1]].setdefault(names[offset], data[at : at + length])
                at += length + -length % 4
            elif token == _BEGIN_NODE and (above or not nodes):
                name, length = self._name(at)
                at += length + -length % 4
                above.append(f"{above[-1].rstrip('/')}/{name}" if above else "/")
                nodes.setdefault(above[-1], {})
            elif token == _END_NODE and above:
                above.pop()
            elif token == _END and nodes and not above:
                return nodes
            elif token != _NOP:
                raise _damaged(self._source, f"its structure is wrong at byte {at - 4:#x}")

    def _name(self, at: int) -> tuple[str, int]:
        """Read the name at an offset; return it, and its length with the zero at its end."""
        end = self._data.find(b"\0", at)
        if end < 0:
            raise _damaged(self._source, f"the name at byte {at:#x} does not end")
        return self._data[at:end].decode(errors="replace"), end + 1 - at
