# SPDX-License-Identifier: BSD-3-Clause
"""The device's side of a virtio-mmio header in plain memory, as a state machine without effects.

An engine is given what the driver has written and answers with actions. Who performs them stores
words, kicks, and starts and stops the back-end. An engine does no I/O and knows no time.

Nothing that the driver writes is believed: see :func:`wrong`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from rslctl.region import Region
from rslctl.virtio import registers
from rslctl.virtio.registers import Interrupt, Register, Status

#: Features that no engine can offer: they change the form of rings or of the transport, or they are
#: no features of virtio (bit 30: it is vhost-user's own).
_NEVER = (
    1 << 30
    | registers.F_RING_PACKED
    | registers.F_SR_IOV
    | registers.F_NOTIFICATION_DATA
    | registers.F_NOTIF_CONFIG_DATA
    | registers.F_RING_RESET
    | registers.F_ADMIN_VQ
)

_U32 = 0xFFFF_FFFF
_SPACE = struct.Struct(f"<{registers.CONFIG_SIZE // 4}I")


@dataclass(frozen=True)
class Identity:
    """What a device is. All addresses are the remote's.

    Raises:
        ValueError: the configuration space is too long, or a queue's size is no power of two.
    """

    #: The virtio device ID (virtio 1.2 chapter 5).
    device_id: int
    #: The offered features, of 64 bits; version 1 publishes the low word.
    features: int
    #: The configuration space, at most :data:`registers.CONFIG_SIZE` bytes.
    config: bytes
    #: The largest size of each queue, a power of two.
    queues: tuple[int, ...]
    #: The memory for the device's queues and buffers.
    region: Region
    #: The whole shared memory: nothing outside is believed.
    memory: Region
    #: The vector of each queue in both directions; version 2 only.
    vectors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.config) > registers.CONFIG_SIZE:
            raise ValueError(
                f"the configuration space has {len(self.config)} bytes, "
                f"at most {registers.CONFIG_SIZE} are possible"
            )
        for size in self.queues:
            if not power_of_two(size):
                raise ValueError(f"a queue's size is {size}, expected a power of two")


@dataclass(frozen=True)
class Queue:
    """A virtqueue that the driver has set up, checked; the addresses are the remote's."""

    index: int
    #: The number of descriptors.
    size: int
    desc: int
    avail: int
    used: int

    @property
    def parts(self) -> tuple[tuple[str, Region, int], ...]:
        """Name, place and alignment in bytes of each part (virtio 1.2, 2.7), with used_event and
        avail_event."""
        return (
            ("the descriptor table", Region(self.desc, 16 * self.size), 16),
            ("the available ring", Region(self.avail, 6 + 2 * self.size), 2),
            ("the used ring", Region(self.used, 6 + 8 * self.size), 4),
        )


@dataclass(frozen=True)
class Put:
    """Store the 32-bit *value* at the *offset* in bytes of the header."""

    offset: int
    value: int


@dataclass(frozen=True)
class Kick:
    """Kick the control vector; all puts before it are visible to the remote before it."""


@dataclass(frozen=True)
class Barrier:
    """All puts before it are visible to the remote before those after it."""


@dataclass(frozen=True)
class Start:
    """Start the back-end: the driver has said DRIVER_OK."""

    #: The features that the driver took, a part of those that were offered.
    features: int
    #: The queues that the driver set up, by index.
    queues: tuple[Queue, ...]


@dataclass(frozen=True)
class Stop:
    """Stop the back-end; it may no longer touch the queues when this has been performed."""


@dataclass(frozen=True)
class Broken:
    """The device cannot go on before the driver resets it; the actions before have told it.

    It is for the log: *reason* says what the driver did that is impossible, or what failed.
    """

    reason: str


Action = Put | Kick | Barrier | Start | Stop | Broken


class Engine(Protocol):
    """The device's side of one header. Lists of actions are performed in their order."""

    @property
    def running(self) -> bool:
        """Whether the back-end was started, and not stopped since."""

    @property
    def waiting(self) -> bool:
        """Whether the driver is between its first write and DRIVER_OK, and writes soon."""

    @property
    def unsure(self) -> bool:
        """Whether the header has to be looked at again, with *rested*, if nothing else comes."""

    def publish(self) -> list[Action]:
        """Return the actions that make the header anew, whatever it has; MAGIC comes last."""

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        """Return the actions for what the driver has written since the last look.

        *header* has the 0x200 bytes as they were at one time: read it until two reads are equal,
        or a few times, if the remote does not let them be. *rested* says that the driver had 100 ms
        or more without a look since the one that left the engine unsure.
        """

    def needs_reset(self, reason: str) -> list[Action]:
        """Return the actions for a back-end that failed for *reason*."""

    def config(self, data: bytes) -> list[Action]:
        """Return the actions for a configuration space that is now *data*: see Identity."""


def word(header: bytes, offset: int) -> int:
    """Return the 32-bit word at *offset* of a header."""
    value: int = struct.unpack_from("<I", header, offset)[0]
    return value


def wrong(queue: Queue, largest: int, memory: Region) -> str:
    """Say what is impossible about a queue that a driver describes; "" if nothing is.

    *largest* is the largest size that was offered. Alignments are those of virtio 1.2, 2.7.
    """
    name = f"queue {queue.index}"
    if not power_of_two(queue.size) or queue.size > largest:
        return f"{name} has {queue.size} descriptors, expected a power of two up to {largest}"
    for part, place, alignment in queue.parts:
        if place.base % alignment:
            return f"{part} of {name} is at {place.base:#x}, not a multiple of {alignment}"
        if not memory.contains(place):
            return (
                f"{part} of {name} is at {place.base:#x}..{place.end - 1:#x}, outside the shared "
                f"memory {memory.base:#x}..{memory.end - 1:#x}"
            )
    return ""


def power_of_two(value: int) -> bool:
    """Return whether *value* is 1, 2, 4..."""
    return value > 0 and not value & (value - 1)


class Base:
    """What the engines of both versions have in common: identity, status, interrupts, config."""

    def __init__(self, identity: Identity, version: int, vendor: int) -> None:
        self.identity = identity
        self.running = False
        self.unsure = False
        self._version, self._vendor = version, vendor
        #: STATUS as the driver wrote it last, or as the device answered.
        self._status = 0
        self._broken = False
        self._interrupts = 0
        self._config = identity.config

    @property
    def waiting(self) -> bool:
        begun = bool(self._status) and not self._status & Status.FAILED
        return begun and not self.running and not self._broken

    def offered(self) -> int:
        """The features that the driver may take."""
        return self.identity.features & ~_NEVER

    def header(self, registers_: dict[int, int]) -> list[Action]:
        """The puts of a whole header: *registers_* are those that the versions differ in."""
        identity = self.identity
        values = {
            Register.VERSION: self._version,
            Register.DEVICE_ID: identity.device_id,
            Register.VENDOR_ID: self._vendor,
            **shm(identity.region.base, identity.region.size),
            **registers_,
        }
        own = [Put(at, values.get(at, 0)) for at in range(4, Register.CONFIG, 4)]
        last = Put(Register.MAGIC, registers.MAGIC)
        return [Put(Register.MAGIC, 0), Barrier(), *own, *self.space(), Barrier(), last]

    def space(self) -> list[Action]:
        """The puts of the whole configuration space, zeros behind what the device has of it."""
        words = _SPACE.unpack(self._config.ljust(registers.CONFIG_SIZE, b"\0"))
        return [Put(Register.CONFIG + 4 * at, value) for at, value in enumerate(words)]

    def change(self, data: bytes) -> list[Action]:
        """Take a new configuration space; return the puts of the words that differ."""
        before = self.space()
        if len(data) > registers.CONFIG_SIZE:
            raise ValueError(f"the configuration space has {len(data)} bytes")
        self._config = data
        return [put for put, old in zip(self.space(), before, strict=True) if put != old]

    def interrupt(self, bits: int) -> Put:
        """Set INTERRUPT_STATUS."""
        self._interrupts = bits
        return Put(Register.INTERRUPT_STATUS, bits)

    def stop(self) -> list[Action]:
        """Stop the back-end if it runs."""
        stopped: list[Action] = [Stop()] * self.running
        self.running = False
        return stopped

    def needs_reset(self, reason: str) -> list[Action]:
        """Stop, tell the driver by NEEDS_RESET (virtio 1.2, 2.1.2), and do nothing before a reset.

        A device that says so already, or that no driver uses, has nobody to tell.
        """
        actions = self.stop()
        if self._broken:
            return actions
        if not self._status:
            return [*actions, Broken(reason)]
        self._broken = True
        self.unsure = False
        self._status |= Status.NEEDS_RESET
        return [
            *actions,
            Put(Register.STATUS, self._status),
            self.interrupt(self._interrupts | Interrupt.CONFIG),
            Kick(),
            Broken(reason),
        ]


def shm(base: int, size: int) -> dict[int, int]:
    """The SHM registers for a region."""
    return {
        Register.SHM_LEN_LOW: size & _U32,
        Register.SHM_LEN_HIGH: size >> 32 & _U32,
        Register.SHM_BASE_LOW: base & _U32,
        Register.SHM_BASE_HIGH: base >> 32 & _U32,
    }
