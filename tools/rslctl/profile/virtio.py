# SPDX-License-Identifier: BSD-3-Clause
"""What the daemon puts into the shared memory, and where.

The arrangement is that of the RSL daemon, OpenAMP's fork of kvmtool: per device a region, one
behind the other, after 64 KiB for a device tree. Without the device tree, the headers stand in
a row at the start of the memory instead of at the start of their regions. Region sizes:
virtio/*.c of the fork; queue counts and sizes: the same files of kvmtool.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of a virtio-mmio header.
HEADER_SIZE = 0x200
#: Bytes that the daemon keeps for a device tree.
DEVICE_TREE_SIZE = 0x10000
#: Alignment of the parts of a virtqueue, virtio-mmio version 1.
QUEUE_ALIGN = 4096


@dataclass(frozen=True)
class Kind:
    """A kind of virtio device as the daemon makes it."""

    #: Virtio's number of the kind (virtio 1.2 chapter 5).
    device_id: int
    #: Bytes of its region.
    region: int
    queues: int
    #: Descriptors of each queue.
    queue_size: int


KINDS = {
    "net": Kind(1, 0x80000, 3, 256),
    "console": Kind(3, 0x6000, 2, 128),
    "rng": Kind(4, 0x6000, 1, 128),
    "9p": Kind(9, 0x6000, 1, 128),
    "vsock": Kind(19, 0x10000, 3, 128),
}


@dataclass(frozen=True)
class Area:
    """A part of the shared memory: *offset* and *size* in bytes."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Device:
    """A device's part of the shared memory; bytes throughout."""

    kind: str
    #: Its kind, numbered where there are several of it.
    name: str
    header: int
    region: Area
    queues: int
    queue_size: int
    #: Of one queue.
    queue_bytes: int

    @property
    def buffers(self) -> int:
        """What is left of the region for buffers; negative where it is too small."""
        used = self.queues * self.queue_bytes
        if self.header == self.region.offset:
            used += HEADER_SIZE
        return self.region.size - used


def queue_bytes(size: int) -> int:
    """Bytes of a virtqueue of *size* descriptors, as vring_size() of virtio has it (2.7.2)."""
    return _up(16 * size + 2 * (3 + size)) + _up(2 * 3 + 8 * size)


def _up(value: int) -> int:
    return -(-value // QUEUE_ALIGN) * QUEUE_ALIGN


def arrange(kinds: tuple[str, ...], *, device_tree: bool) -> list[Device]:
    """The devices in the order given, which are keys of :data:`KINDS`."""
    devices = []
    offset = DEVICE_TREE_SIZE
    for number, name in enumerate(kinds):
        kind = KINDS[name]
        devices.append(
            Device(
                kind=name,
                name=name if kinds.count(name) == 1 else f"{name}{kinds[:number].count(name)}",
                header=offset if device_tree else number * HEADER_SIZE,
                region=Area(name, offset, kind.region),
                queues=kind.queues,
                queue_size=kind.queue_size,
                queue_bytes=queue_bytes(kind.queue_size),
            )
        )
        offset += kind.region
    return devices


def head(kinds: tuple[str, ...], *, device_tree: bool) -> Area:
    """What stands before the regions."""
    if device_tree:
        return Area("device tree", 0, DEVICE_TREE_SIZE)
    return Area("headers", 0, len(kinds) * HEADER_SIZE)


def misfit(kinds: tuple[str, ...], *, device_tree: bool, size: int, room: int | None) -> str:
    """What stands against the devices in *size* bytes, up to the offset *room* where one is kept.

    Empty where nothing does.
    """
    start = head(kinds, device_tree=device_tree)
    if start.end > DEVICE_TREE_SIZE:
        return (
            f"headers of {len(kinds)} devices take {start.size:#x} of {DEVICE_TREE_SIZE:#x} bytes"
        )
    needed = end(kinds, device_tree=device_tree)
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


def end(kinds: tuple[str, ...], *, device_tree: bool) -> int:
    """The first offset behind all of it."""
    parts = [head(kinds, device_tree=device_tree)]
    parts += [device.region for device in arrange(kinds, device_tree=device_tree)]
    return max(part.end for part in parts)
