# SPDX-License-Identifier: BSD-3-Clause
"""Version 2: the registers of virtio 1.2 (4.2.2), each write answered.

Nothing traps, so the driver says what it has written: the register's offset and size in
TRANSACTION, after each write. It rings, and waits until the device zeroes the word. By then the
device has done what virtio demands of a write: what the driver reads next is the answer. Prior art:
write_transaction of Siemens' virtio-ivshmem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rslctl.virtio import registers
from rslctl.virtio.engine import (
    Action,
    Barrier,
    Base,
    Identity,
    Kick,
    Put,
    Queue,
    Start,
    shm,
    word,
    wrong,
)
from rslctl.virtio.registers import Interrupt, Register, Status

_U32 = 0xFFFF_FFFF
#: A feature that is never offered, in place of all those beyond 64 bits.
_BEYOND = 1 << 64

#: The parts of a queue by the registers that say where they are, with the bits of their half.
_PARTS = {
    Register.QUEUE_DESC_LOW: ("desc", 0),
    Register.QUEUE_DESC_HIGH: ("desc", 32),
    Register.QUEUE_AVAIL_LOW: ("avail", 0),
    Register.QUEUE_AVAIL_HIGH: ("avail", 32),
    Register.QUEUE_USED_LOW: ("used", 0),
    Register.QUEUE_USED_HIGH: ("used", 32),
}


@dataclass
class _Setup:
    """What the driver has written of a queue; *ready* once it was checked and taken."""

    size: int = 0
    desc: int = 0
    avail: int = 0
    used: int = 0
    ready: bool = False


class Version2(Base):
    """The engine of version 2."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, 2, registers.VENDOR_RSLV)
        self._generation = 0
        self._on_write: dict[int, Callable[[int], list[Action]]] = {
            Register.DEVICE_FEATURES_SEL: self._select_device_features,
            Register.DRIVER_FEATURES_SEL: self._select_driver_features,
            Register.DRIVER_FEATURES: self._take_features,
            Register.QUEUE_SEL: self._select_queue,
            Register.QUEUE_NUM: self._size,
            Register.QUEUE_READY: self._ready,
            Register.INTERRUPT_ACK: self._acknowledge,
            Register.STATUS: self._set_status,
            Register.SHM_SEL: self._select_region,
        }
        self._reset()

    def _reset(self) -> None:
        """Everything as before the driver's first write."""
        self._status = 0
        self._broken = False
        self._interrupts = 0
        self._features = 0
        self._features_word = 0
        self._queue = 0
        self._queues = [_Setup() for _ in self.identity.queues]

    def offered(self) -> int:
        return super().offered() | registers.F_VERSION_1

    def publish(self) -> list[Action]:
        self._reset()
        self.running = False
        self._generation = 0
        return self.header({put.offset: put.value for put in self._initial()})

    def _initial(self) -> list[Put]:
        """The registers that writes change, as they are after a reset."""
        region = self.identity.region
        return [
            Put(Register.STATUS, 0),
            Put(Register.INTERRUPT_STATUS, 0),
            Put(Register.DEVICE_FEATURES, self.offered() & _U32),
            *self._selected(),
            *(Put(at, value) for at, value in shm(region.base, region.size).items()),
        ]

    def config(self, data: bytes) -> list[Action]:
        """As Engine.config(). The generation is odd while the space changes (virtio 1.2, 2.5)."""
        puts = self.change(data)
        if not puts:
            return []
        actions: list[Action] = [
            self._next_generation(),
            Barrier(),
            *puts,
            Barrier(),
            self._next_generation(),
        ]
        if self.running:
            actions += [self.interrupt(self._interrupts | Interrupt.CONFIG), Kick()]
        return actions

    def _next_generation(self) -> Put:
        self._generation = (self._generation + 1) & _U32
        return Put(Register.CONFIG_GENERATION, self._generation)

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        """As Engine.look(). The driver waits, so *rested* makes no difference."""
        transaction = word(header, Register.TRANSACTION)
        if not transaction:
            return []
        offset, size = transaction & 0xFFFF, transaction >> 16
        actions: list[Action] = []
        if size == 4 and offset in self._on_write:
            actions = self._on_write[offset](word(header, offset))
        elif size == 4 and offset in _PARTS:
            actions = self._place(offset, word(header, offset))
        return [*actions, Barrier(), Put(Register.TRANSACTION, 0), Kick()]

    def _select_device_features(self, word_number: int) -> list[Action]:
        value = self.offered() >> 32 * word_number & _U32 if word_number < 2 else 0
        return [Put(Register.DEVICE_FEATURES, value)]

    def _select_driver_features(self, word_number: int) -> list[Action]:
        self._features_word = word_number
        return []

    def _take_features(self, value: int) -> list[Action]:
        if self._status & Status.FEATURES_OK:
            return []
        if self._features_word < 2:
            shift = 32 * self._features_word
            self._features = self._features & ~(_U32 << shift) | value << shift
        elif value:
            self._features |= _BEYOND
        return []

    def _select_queue(self, index: int) -> list[Action]:
        self._queue = index
        return list(self._selected())

    def _selected(self) -> list[Put]:
        """What is said of the queue QUEUE_SEL: zeros if there is no such queue."""
        index, identity = self._queue, self.identity
        there = index < len(self._queues)
        vector = identity.vectors[index] if index < len(identity.vectors) else 0
        return [
            Put(Register.QUEUE_NUM_MAX, identity.queues[index] if there else 0),
            Put(Register.QUEUE_READY, int(there and self._queues[index].ready)),
            Put(Register.QUEUE_NOTIFY_VECTOR, vector),
            Put(Register.QUEUE_KICK_VECTOR, vector),
        ]

    def _unready(self) -> _Setup | None:
        """The selected queue, if the driver may change it."""
        if self._queue >= len(self._queues) or self._queues[self._queue].ready:
            return None
        return self._queues[self._queue]

    def _size(self, value: int) -> list[Action]:
        setup = self._unready()
        if setup:
            setup.size = value
        return []

    def _place(self, offset: int, value: int) -> list[Action]:
        setup = self._unready()
        if setup:
            part, shift = _PARTS[Register(offset)]
            other_half = getattr(setup, part) & _U32 << (32 - shift)
            setattr(setup, part, other_half | value << shift)
        return []

    def _ready(self, value: int) -> list[Action]:
        if self._queue >= len(self._queues):
            return [Put(Register.QUEUE_READY, 0)]
        setup = self._queues[self._queue]
        if not value:
            return self._take_back(setup)
        if setup.ready or self._broken or self._status & Status.DRIVER_OK:
            return [Put(Register.QUEUE_READY, int(setup.ready))]
        largest, memory = self.identity.queues[self._queue], self.identity.memory
        reason = wrong(self._described(self._queue), largest, memory)
        if reason:
            return [Put(Register.QUEUE_READY, 0), *self.needs_reset(reason)]
        setup.ready = True
        return [Put(Register.QUEUE_READY, 1)]

    def _take_back(self, setup: _Setup) -> list[Action]:
        """The driver takes a queue back; a back-end serves all of its queues, or none."""
        was, setup.ready = setup.ready, False
        taken: list[Action] = [Put(Register.QUEUE_READY, 0)]
        if was and self.running:
            return [*self.needs_reset(f"the driver took queue {self._queue} back"), *taken]
        return taken

    def _described(self, index: int) -> Queue:
        setup = self._queues[index]
        return Queue(index, setup.size, setup.desc, setup.avail, setup.used)

    def _acknowledge(self, bits: int) -> list[Action]:
        """Clear the bit for configuration changes only: see version 1."""
        return [self.interrupt(self._interrupts & ~(bits & Interrupt.CONFIG))]

    def _select_region(self, number: int) -> list[Action]:
        region = self.identity.region
        base, size = (region.base, region.size) if number == 0 else (registers.NO_REGION,) * 2
        return [Put(at, value) for at, value in shm(base, size).items()]

    def _set_status(self, value: int) -> list[Action]:
        value &= 0xFF
        # What was there of a device that ran: it wrote NEEDS_RESET over the driver's 0.
        own = self._broken and value == self._status and value & Status.DRIVER_OK
        if not value or own:
            return self._begin()
        actions: list[Action] = []
        kept = self._status & Status.NEEDS_RESET  # the device's own bit
        if self._status & ~Status.NEEDS_RESET & ~value:
            # No driver clears a bit (virtio 1.2, 2.1.1). It is another one, whose reset was lost.
            actions, kept = self._begin(), 0
        new = value & ~self._status & ~Status.NEEDS_RESET
        self._status = value & ~Status.NEEDS_RESET | kept
        if new & Status.FEATURES_OK and not self._may_take_features():
            self._status &= ~Status.FEATURES_OK
        if self._status & Status.FAILED:
            actions += self.stop()
        elif new & Status.DRIVER_OK and not self._broken:
            actions += self._driver_ok()
        return [*actions, Put(Register.STATUS, self._status)]

    def _begin(self) -> list[Action]:
        """Reset the device."""
        stopped = self.stop()
        self._reset()
        return [*stopped, *self._initial()]

    def _may_take_features(self) -> bool:
        """Whether the driver has taken only what is offered, and VERSION_1."""
        return bool(self._features & registers.F_VERSION_1) and not self._features & ~self.offered()

    def _driver_ok(self) -> list[Action]:
        if not self._status & Status.FEATURES_OK:
            return self.needs_reset("the driver said DRIVER_OK without FEATURES_OK")
        ready = [index for index, setup in enumerate(self._queues) if setup.ready]
        if not ready:
            return self.needs_reset("the driver has set up no queue")
        self.running = True
        queues = tuple(map(self._described, ready))
        return [self.interrupt(Interrupt.USED), Start(self._features, queues)]
