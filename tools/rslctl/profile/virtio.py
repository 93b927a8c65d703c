# SPDX-License-Identifier: BSD-3-Clause
"""The layout of the daemon's virtio devices in the shared memory.

The layout is that of the RSL daemon, OpenAMP's fork of kvmtool. The first 64 KiB are for a device
tree. The regions of the devices follow, one after the other. With a device tree, each region
begins with the header of its device. Without one, all headers are in a row at the start of the
memory. Sources: virtio/*.c of the fork for the sizes of regions, and the same files of kvmtool for
the numbers and sizes of queues.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Size of a virtio-mmio header in bytes.
HEADER_SIZE = 0x200
#: Size of the daemon's area for a device tree in bytes.
DEVICE_TREE_SIZE = 0x10000
#: Alignment of the parts of a virtqueue in bytes: virtio-mmio version 1.
QUEUE_ALIGN = 4096


@dataclass(frozen=True)
class Kind:
    """A kind of virtio device, with the daemon's sizes for it."""

    #: The virtio device ID (virtio 1.2 chapter 5).
    device_id: int
    #: Size of the region in bytes.
    region: int
    #: The number of queues.
    queues: int
    #: The number of descriptors in each queue.
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
        """The first offset behind the area."""
        return self.offset + self.size


@dataclass(frozen=True)
class Device:
    """A device's part of the shared memory; offsets and sizes are in bytes."""

    kind: str
    #: The kind, with a number if there are several devices of the kind.
    name: str
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


def arrange(kinds: tuple[str, ...], *, device_tree: bool) -> list[Device]:
    """Place devices in the shared memory, in the order of *kinds*: keys of :data:`KINDS`."""
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
    """Return the area before the regions: the device tree, or the headers in a row."""
    if device_tree:
        return Area("device tree", 0, DEVICE_TREE_SIZE)
    return Area("headers", 0, len(kinds) * HEADER_SIZE)


def misfit(kinds: tuple[str, ...], *, device_tree: bool, size: int, room: int | None) -> str:
    """Say why the devices do not fit into *size* bytes of shared memory; "" if they fit.

    *room* is the offset of the area for the remote's device tree; the devices have to end before
    it. None if there is no such area.
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
    """Return the first offset behind all devices and the area before them."""
    parts = [head(kinds, device_tree=device_tree)]
    parts += [device.region for device in arrange(kinds, device_tree=device_tree)]
    return max(part.end for part in parts)
