# SPDX-License-Identifier: BSD-3-Clause
"""Drivers of a remote, register by register, and the header that they share with an engine."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rslctl.region import Region
from rslctl.virtio.engine import (
    Action,
    Barrier,
    Broken,
    Engine,
    Identity,
    Kick,
    Put,
    Queue,
    Start,
    Stop,
)
from rslctl.virtio.engines import engine

MEMORY = Region(0x3ED0_0000, 0x10_0000)
PFN = MEMORY.base // 4096 + 0x20


def identity(**changes: object) -> Identity:
    """A device with two queues of 128 descriptors, as existing firmware has them."""
    values: dict[str, object] = {
        "device_id": 3,
        "features": 0x3,
        "config": b"\x01\x02\x03\x04\x05\x06",
        "queues": (128, 128),
        "region": Region(MEMORY.base + 0x10000, 0x6000),
        "memory": MEMORY,
        "vectors": (1, 2),
    }
    return Identity(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class Shared:
    """A header in shared memory, and what is done with an engine's actions.

    It plays rslctl.virtio.device.Device with its Header and Wiring. It leaves out the back-end: a
    start always succeeds. It is stricter: it knows what no list of actions may have.
    """

    engine: Engine
    data: bytearray = field(default_factory=lambda: bytearray(b"\xa5" * 0x200))
    kicks: int = 0
    started: Start | None = None
    starts: int = 0
    broken: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, version: int, **changes: object) -> Shared:
        """A published header."""
        shared = cls(engine(version, identity(**changes)))
        shared.perform(shared.engine.publish())
        return shared

    def read(self, offset: int) -> int:
        (value,) = struct.unpack_from("<I", self.data, offset)
        return int(value)

    def write(self, offset: int, value: int) -> None:
        """A write of the driver."""
        self._store(offset, value)

    def _store(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self.data, offset, value)

    def look(self, *, rested: bool = False) -> list[Action]:
        actions = self.engine.look(bytes(self.data), rested=rested)
        self.perform(actions)
        return actions

    def settle(self) -> None:
        """Look for as long as a driver that waits would let the device."""
        self.look()
        for _ in range(3):
            if not self.engine.unsure:
                return
            self.look(rested=True)

    def perform(self, actions: Sequence[Action]) -> None:
        assert len(actions) < 300
        for action in actions:
            if isinstance(action, Put):
                assert action.offset % 4 == 0
                # A driver that is told to go on uses the memory of its queues.
                assert not (action.offset == 0x40 and action.value == 0xAABBAABB and self.started)
                self._store(action.offset, action.value)
            elif isinstance(action, Kick):
                self.kicks += 1
            elif isinstance(action, Start):
                assert not self.started
                assert action.queues
                for queue in action.queues:
                    assert all(MEMORY.contains(place) for _, place, _ in queue.parts)
                self.started = action
                self.starts += 1
            elif isinstance(action, Stop):
                assert self.started
                self.started = None
            elif isinstance(action, Broken):
                self.broken.append(action.reason)
            else:
                assert isinstance(action, Barrier)
        assert self.engine.running == bool(self.started)


class ConfigurationError(Exception):
    """The firmware's driver has waited for an answer in vain."""


class Step(enum.Enum):
    """What a driver has just done. The device may look after each, or not."""

    #: It has written a register, and does more.
    WRITE = enum.auto()
    #: The same, and writes the PFN of a queue within the next instructions.
    SOON = enum.auto()
    #: It has written a register, and rung.
    RING = enum.auto()
    #: It waits for at most 4 seconds, and looks again then.
    WAIT = enum.auto()


@dataclass(frozen=True)
class Firmware:
    """The driver of existing firmware, written from the description of it alone.

    It plays lib/virtio_mmio/virtio_mmio_drv.c and virtio_mmio_hvl.c of open-amp, branch virtio-exp:
    virtio_mmio_device_init(), the feature bits, virtio_mmio_setup_virtqueue() for each queue,
    DRIVER_OK, and virtio_mmio_isr(). It leaves out rings, buffers, and the configuration space.
    """

    pfns: tuple[int, ...] = (PFN, PFN + 2)
    size: int = 128
    features: int = 0x1
    #: What it writes into STATUS. Each bit alone, as that firmware; others add them up.
    statuses: tuple[int, int, int] = (1, 2, 4)
    #: Add it to what is there, as branch virtio-exp-v2025.04: virtio_mmio_set_status().
    adds: bool = False

    def boot(self, header: Shared) -> Iterator[Step]:
        """Set the device up; raises ConfigurationError as the firmware gives up."""
        if header.read(0x00) != 0x74726976 or header.read(0x04) != 1 or not header.read(0x08):
            raise ConfigurationError("no device")
        if not all(header.read(low) | header.read(low + 4) for low in (0xB0, 0xB8)):
            raise ConfigurationError("not in shared memory")
        self._status(header, 0)
        yield Step.RING
        header.write(0x28, 4096)
        yield Step.WRITE
        self._status(header, 1)
        yield Step.RING
        header.write(0x14, 0)
        yield Step.WRITE
        header.write(0x20, self.features & header.read(0x10))
        yield Step.RING
        for index, pfn in enumerate(self.pfns):
            header.write(0x30, index)
            yield Step.WRITE
            if header.read(0x34) < self.size:
                raise ConfigurationError("the queue is too large")
            header.write(0x38, self.size)
            yield Step.SOON
            header.write(0x3C, 4096)
            yield Step.SOON
            header.write(0x40, pfn)
            yield Step.RING
            if header.read(0x40) != 0xAABBAABB:
                yield Step.WAIT
                if header.read(0x40) != 0xAABBAABB:
                    raise ConfigurationError(f"queue {index} is not acknowledged")
            header.write(0x40, pfn)
            yield Step.WRITE
        self._status(header, 2)
        yield Step.RING

    def _status(self, header: Shared, number: int) -> None:
        before = header.read(0x70) if self.adds else 0
        header.write(0x70, self.statuses[number] | before)

    def interrupt(self, header: Shared) -> bool:
        """The interrupt service routine; whether it looks at its queues, and rings."""
        status = header.read(0x60)
        header.write(0x64, status)
        return bool(status & 1)

    def queues(self) -> tuple[Queue, ...]:
        """Its queues, in the legacy layout: vring_init() of include/uapi/linux/virtio_ring.h."""
        made = []
        for index, pfn in enumerate(self.pfns):
            avail = pfn * 4096 + 16 * self.size
            used = (avail + 2 * (3 + self.size) + 4095) & ~4095
            made.append(Queue(index, self.size, pfn * 4096, avail, used))
        return tuple(made)


def run(steps: Iterator[Step], header: Shared) -> None:
    """Have a driver do all of its steps, with a device that looks at once when it rings."""
    for step in steps:
        if step is Step.WAIT:
            header.settle()
        elif step is Step.RING:
            header.look()


@dataclass
class Modern:
    """The driver of a new remote, which says each write.

    It plays drivers/virtio/virtio_mmio.c of Linux, version 2: vm_reset(), vm_get_features(),
    vm_finalize_features(), vm_setup_vq(), vm_del_vq(), vm_get_shm_region(), vm_interrupt(),
    vm_set_status(), and the order of register_virtio_device() and virtio_dev_probe() in virtio.c,
    with a transaction behind each write, as Siemens' virtio-ivshmem has it. It leaves out rings and
    buffers. *looks* is called where the device might look without being rung for.
    """

    header: Shared
    looks: Callable[[], object] = lambda: None
    features: int = 1 << 32 | 0x1

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.header.write(offset, value)
        self.looks()
        self.header.write(0xD0, offset | size << 16)
        self.header.look()
        assert self.header.read(0xD0) == 0, "the device has not answered"
        self.looks()

    def reset(self) -> None:
        self.write(0x70, 0)

    def add_status(self, bit: int) -> None:
        self.write(0x70, self.header.read(0x70) | bit)

    def offered(self) -> int:
        self.write(0x14, 1)
        features = self.header.read(0x10) << 32
        self.write(0x14, 0)
        return features | self.header.read(0x10)

    def finalize_features(self, features: int) -> None:
        self.write(0x24, 1)
        self.write(0x20, features >> 32)
        self.write(0x24, 0)
        self.write(0x20, features & 0xFFFF_FFFF)

    def setup_vq(self, queue: Queue) -> None:
        self.write(0x30, queue.index)
        assert self.header.read(0x44) == 0
        assert self.header.read(0x34) != 0
        self.write(0x38, queue.size)
        for offset, address in ((0x80, queue.desc), (0x90, queue.avail), (0xA0, queue.used)):
            self.write(offset, address & 0xFFFF_FFFF)
            self.write(offset + 4, address >> 32)
        self.write(0x44, 1)

    def del_vq(self, index: int) -> None:
        self.write(0x30, index)
        self.write(0x44, 0)
        assert self.header.read(0x44) == 0

    def shm_region(self, number: int) -> tuple[int, int]:
        """The base and size of a region."""
        self.write(0xAC, number)
        low, high = self.header.read(0xB0), self.header.read(0xB4)
        return self.header.read(0xB8) | self.header.read(0xBC) << 32, low | high << 32

    def interrupt(self) -> int:
        status = self.header.read(0x60)
        self.write(0x64, status)
        return status

    def negotiate(self) -> bool:
        """From the reset to FEATURES_OK; whether the device lets it stand."""
        assert self.header.read(0x00) == 0x74726976
        assert self.header.read(0x04) == 2
        self.reset()
        self.add_status(1)
        self.add_status(2)
        self.finalize_features(self.features & self.offered())
        self.add_status(8)
        return bool(self.header.read(0x70) & 8)

    def probe(self, queues: Sequence[Queue]) -> None:
        """Set the device up, queues in the order given."""
        assert self.negotiate()
        for queue in queues:
            self.setup_vq(queue)
        self.add_status(4)
