# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's virtio devices: the words that name them, and their layout in the shared memory.

A word is ``KIND[,KEY=VALUE]...``; docs/reference/board-profile.md has the kinds and their options.

The layout is that of the RSL daemon, OpenAMP's fork of kvmtool. The first 64 KiB are for a device
tree. The regions of the devices follow, one after the other. With a device tree, each region
begins with the header of its device. Without one, all headers are in a row at the start of the
memory. Sources: virtio/*.c of the fork for the sizes of regions, and the same files of kvmtool for
the numbers and sizes of queues. Version 2 of the registers has the layout without a device tree.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rslctl.profile.toml import shown

#: Size of a virtio-mmio header in bytes.
HEADER_SIZE = 0x200
#: Size of the daemon's area for a device tree in bytes.
DEVICE_TREE_SIZE = 0x10000
#: The most devices of a link: so many headers in a row, or nodes of the device tree, fit there.
MOST = DEVICE_TREE_SIZE // HEADER_SIZE
#: Alignment of the parts of a virtqueue in bytes: virtio-mmio version 1.
QUEUE_ALIGN = 4096
#: The versions of the registers: the RSL daemon's; virtio 1.2's with a transaction word.
VERSIONS = (1, 2)


@dataclass(frozen=True)
class Kind:
    """A kind of virtio device, with the daemon's sizes for it."""

    #: The virtio device ID (virtio 1.2 chapter 5); 0 if the word says it.
    device_id: int
    #: Size of the region in bytes, if the word does not say it.
    region: int
    #: The number of queues; 0 if the word says it.
    queues: int
    #: The number of descriptors in each queue, if the word does not say it.
    queue_size: int
    #: The keys that a word of this kind may have.
    options: tuple[str, ...]


KINDS = {
    "net": Kind(1, 0x80000, 3, 256, ("tap", "socket", "mac", "region")),
    "blk": Kind(2, 0x400000, 1, 128, ("socket", "region")),
    "console": Kind(3, 0x6000, 2, 128, ("socket", "pty", "region")),
    "rng": Kind(4, 0x6000, 1, 128, ("region",)),
    "9p": Kind(9, 0x6000, 1, 128, ("region",)),
    "vsock": Kind(19, 0x10000, 3, 128, ("cid", "socket", "region")),
    "fs": Kind(26, 0x400000, 2, 128, ("socket", "tag", "region")),
    "device": Kind(0, 0x400000, 0, 128, ("id", "queues", "queue-size", "socket", "region")),
}

#: Keys without which nothing can be laid out for a word.
_NEEDED = {"device": ("id", "queues")}
#: Keys of which a word may have one.
_EITHER = (("tap", "socket"), ("socket", "pty"), ("cid", "socket"))


@dataclass(frozen=True)
class Word:
    """A device as a profile and the command line name it; str() is the text."""

    #: A key of :data:`KINDS`.
    kind: str
    #: Keys and values, in the order of the text.
    options: tuple[tuple[str, str], ...] = ()

    def option(self, key: str) -> str | None:
        """The value of *key*; None if the word does not have it."""
        return dict(self.options).get(key)

    def __str__(self) -> str:
        return ",".join([self.kind, *(f"{key}={value}" for key, value in self.options)])


def parse(text: str) -> Word:
    """Read a word: its kind, and keys and values, each alone.

    A word may lack what its back-end needs, as ``cid`` or ``socket``: a profile need not say it.

    Raises:
        ValueError: the text says what is wrong, and what would be right.
    """
    if not text.isprintable():
        raise ValueError(f"{shown(text)} is not a line of printable text")
    kind, *pairs = text.split(",")
    if kind not in KINDS:
        close = _close(kind, tuple(KINDS))
        raise ValueError(f"{shown(kind)} is not one of {', '.join(KINDS)}{close}")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        problem = _problem(kind, pair, key, value if equals else "")
        if not problem and key in options:
            problem = f"{key} is given twice"
        if problem:
            raise ValueError(f"{shown(text)}: {problem}")
        options[key] = value
    missing = [key for key in _NEEDED.get(kind, ()) if key not in options]
    if missing:
        keys = " and ".join(f"{key}=N" for key in missing)
        raise ValueError(f"{shown(text)}: expected {keys} too, as 'device,id=4,queues=1'")
    for one, other in _EITHER:
        if one in options and other in options:
            raise ValueError(f"{shown(text)}: {one} and {other} exclude each other")
    return Word(kind, tuple(options.items()))


def _problem(kind: str, pair: str, key: str, value: str) -> str:
    """What is wrong with KEY=VALUE in a word of *kind*; "" if nothing is."""
    known = KINDS[kind].options
    if key not in known:
        return f"{shown(key)} is not an option of {kind}: {', '.join(known)}{_close(key, known)}"
    holds, right = _VALUES[key]
    return "" if holds(value) else f"{shown(pair)} is not {key}=VALUE with {right}"


def _close(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _number(low: int, high: int) -> tuple[Callable[[str], bool], str]:
    def holds(value: str) -> bool:
        return bool(re.fullmatch("[0-9]{1,10}", value)) and low <= int(value) <= high

    return holds, f"a decimal number from {low} to {high}"


def _region(value: str) -> bool:
    """Whether it is a size for a region: decimal or hexadecimal."""
    found = re.fullmatch("0x[0-9a-fA-F]{1,16}|[1-9][0-9]{0,18}", value)
    return bool(found) and int(value, 0) > 0 and int(value, 0) % QUEUE_ALIGN == 0


def _queue_size(value: str) -> bool:
    return value in {str(1 << bit) for bit in range(9)}


def _mac(value: str) -> bool:
    """Whether it is a station's address: not of a group, and not 0."""
    found = re.fullmatch("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", value)
    return bool(found) and not int(value[:2], 16) & 1 and bool(value.strip("0:"))


def _interface(value: str) -> bool:
    """Whether it is a name that dev_valid_name() of net/core/dev.c takes, in ASCII."""
    return bool(re.fullmatch("[!-.0-9;-~]{1,15}", value)) and value not in (".", "..")


#: Of each key, whether a value is right, and what would be.
_VALUES: dict[str, tuple[Callable[[str], bool], str]] = {
    "tap": (_interface, "the name of a network interface, as tap0"),
    # sun_path of sockaddr_un has 108 bytes with the 0 at the end.
    "socket": (lambda value: 0 < len(value.encode()) < 108, "a path of 1 to 107 bytes"),
    # PATH_MAX is 4096 with the 0 at the end.
    "pty": (lambda value: 0 < len(value.encode()) < 4096, "a path of 1 to 4095 bytes"),
    "mac": (_mac, "the address of one station, as 02:00:00:00:00:01"),
    "cid": _number(3, 2**32 - 2),
    # virtio 1.2 section 5.11.4.
    "tag": (lambda value: 0 < len(value.encode()) <= 36, "1 to 36 bytes of UTF-8"),
    "id": _number(1, 63),
    "queues": _number(1, 16),
    "queue-size": (_queue_size, "a power of two from 1 to 256"),
    "region": (_region, f"bytes, a multiple of {QUEUE_ALIGN:#x}, as 0x400000"),
}


@dataclass(frozen=True)
class Area:
    """A part of the shared memory: *offset* and *size* in bytes."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first offset behind the area."""
        return self.offset + self.size


@dataclass(frozen=True)
class Device:
    """A device's part of the shared memory; offsets and sizes are in bytes."""

    kind: str
    #: The kind, with a number if there are several devices of the kind.
    name: str
    #: The virtio device ID.
    device_id: int
    #: The options of the device's word.
    options: dict[str, str]
    #: The offset of the header.
    header: int
    region: Area
    #: The number of queues.
    queues: int
    #: The number of descriptors in each queue.
    queue_size: int
    #: The size of one queue.
    queue_bytes: int

    @property
    def buffers(self) -> int:
        """The bytes of the region that are left for buffers; negative if it is too small."""
        used = self.queues * self.queue_bytes
        if self.header == self.region.offset:
            used += HEADER_SIZE
        return self.region.size - used


def queue_bytes(size: int) -> int:
    """Return the bytes of a virtqueue of *size* descriptors: vring_size() of virtio (2.7.2)."""
    return _up(16 * size + 2 * (3 + size)) + _up(2 * 3 + 8 * size)


def _up(value: int) -> int:
    """Round up to the alignment of a virtqueue's parts."""
    return -(-value // QUEUE_ALIGN) * QUEUE_ALIGN


def arrange(words: tuple[str, ...], *, device_tree: bool, version: int = 1) -> list[Device]:
    """Place devices in the shared memory, in the order of *words*.

    *version* is one of :data:`VERSIONS`; only version 1 has the control queue of ``net``.

    Raises:
        ValueError: a word is wrong, as :func:`parse` says.
    """
    parsed = [parse(word) for word in words]
    kinds = [word.kind for word in parsed]
    devices = []
    offset = DEVICE_TREE_SIZE
    for number, word in enumerate(parsed):
        name, kind, options = word.kind, KINDS[word.kind], dict(word.options)
        size = int(options.get("region", str(kind.region)), 0)
        queues = int(options.get("queues", kind.queues))
        if name == "net" and version == 2:
            queues = 2
        queue_size = int(options.get("queue-size", kind.queue_size))
        devices.append(
            Device(
                kind=name,
                name=name if kinds.count(name) == 1 else f"{name}{kinds[:number].count(name)}",
                device_id=int(options.get("id", kind.device_id)),
                options=options,
                header=offset if device_tree else number * HEADER_SIZE,
                region=Area(name, offset, size),
                queues=queues,
                queue_size=queue_size,
                queue_bytes=queue_bytes(queue_size),
            )
        )
        offset += size
    return devices


def vectors(devices: Sequence[Device], count: int) -> list[tuple[int, ...]]:
    """Return the vector of each device's queues, in both directions, on a link of *count* vectors.

    Vector 0 is for transactions, and for queues that ``rslctl virtio`` serves itself: what else
    they had would wake it for others. The queues of back-ends share the others in turn; if there is
    no other, 0 is for everything.
    """
    others = itertools.cycle(range(1, count) if count > 1 else [0])
    return [
        tuple(next(others) if _of_back_end(each, n) else 0 for n in range(each.queues))
        for each in devices
    ]


def _of_back_end(device: Device, queue: int) -> bool:
    """Whether a back-end is notified of *queue*; nobody is of the events of vsock."""
    return device.kind not in ("rng", "console") and (device.kind, queue) != ("vsock", 2)


def head(words: tuple[str, ...], *, device_tree: bool) -> Area:
    """Return the area before the regions: the device tree, or the headers in a row."""
    if device_tree:
        return Area("device tree", 0, DEVICE_TREE_SIZE)
    return Area("headers", 0, len(words) * HEADER_SIZE)


def misfit(words: tuple[str, ...], *, device_tree: bool, size: int, room: int | None) -> str:
    """Say why the devices do not fit into *size* bytes of shared memory; "" if they fit.

    *room* is the offset of the area for the remote's device tree; the devices have to end before
    it. None if there is no such area.
    """
    if len(words) > MOST:
        return f"there are {len(words)} devices, at most {MOST} are possible"
    for word, device in zip(words, arrange(words, device_tree=device_tree), strict=True):
        if device.buffers < 0:
            return (
                f"{shown(word)}: its {device.queues} queues of {device.queue_size} do not fit into "
                f"its region of {device.region.size:#x} bytes: too small by {-device.buffers:#x}"
            )
    needed = end(words, device_tree=device_tree)
    if needed > size:
        return (
            f"{needed:#x} bytes are needed, the shared memory has {size:#x}: "
            f"too small by {needed - size:#x} bytes"
        )
    if room is not None and needed > room:
        return (
            f"{needed:#x} bytes are needed, but remote-dt begins at {room:#x}: "
            f"too small by {needed - room:#x} bytes"
        )
    return ""


def end(words: tuple[str, ...], *, device_tree: bool) -> int:
    """Return the first offset behind all devices and the area before them."""
    parts = [head(words, device_tree=device_tree)]
    parts += [device.region for device in arrange(words, device_tree=device_tree)]
    return max(part.end for part in parts)
