# SPDX-License-Identifier: BSD-3-Clause
"""Devices' sides of a header that were written from the documents alone.

They have the form of rslctl.virtio's engines, and none of their code beside the actions. They
believe the driver: what they check is what the tests compare, the order of its writes.
"""

from __future__ import annotations

import struct

from rslctl.virtio.engine import Action, Barrier, Identity, Kick, Put, Queue, Start, Stop

ACK, UNSET, NEVER = 0xAABBAABB, 0x00FF00FF, 0xFF00FF00
PAGE = 4096


def word(header: bytes, offset: int) -> int:
    return int(struct.unpack_from("<I", header, offset)[0])


def common(identity: Identity, version: int, vendor: bytes) -> list[Action]:
    """What does not change in a header, but MAGIC."""
    base, size = identity.region.base, identity.region.size
    config = identity.config.ljust(256, b"\0")
    return [
        *(Put(offset, 0) for offset in range(0, 0x100, 4)),
        Put(0x04, version),
        Put(0x08, identity.device_id),
        Put(0x0C, word(vendor, 0)),
        *(Put(0xB0 + 4 * n, size >> 32 * n & 0xFFFFFFFF) for n in range(2)),
        *(Put(0xB8 + 4 * n, base >> 32 * n & 0xFFFFFFFF) for n in range(2)),
        *(Put(0x100 + n, word(config, n)) for n in range(0, 256, 4)),
    ]


class RslDaemon:
    """Plays virtio_mmio of the RSL daemon (virtio/mmio.c of OpenAMP's fork of kvmtool).

    From sections 3 to 6 of the description of its protocol, with its defects: the counter of queues
    is never reset, and after an acknowledgement it looks at nothing else. It leaves out its sleep.
    Its queues are as large as QUEUE_NUM_MAX whatever QUEUE_NUM says.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.status = 0
        self.features = 0
        self.sel = self.num = self.pfn = NEVER
        self.queues: list[Queue] = []
        self.running = False

    def publish(self) -> list[Action]:
        return [
            *common(self.identity, 1, b"LKVM"),
            Put(0x10, self.identity.features & 0xFFFFFFFF),
            Put(0x28, PAGE),
            Put(0x30, UNSET),
            Put(0x34, self.identity.queues[0]),
            Put(0x38, UNSET),
            Put(0x3C, PAGE),
            Put(0x00, 0x74726976),
        ]

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        actions: list[Action] = []
        status = word(header, 0x70)
        if status < self.status:
            if self.running:
                actions.append(Stop())
            self.status, self.sel, self.running = status, NEVER, False
            return [*actions, Put(0x40, ACK), Kick()]
        if word(header, 0x64):
            return [Put(0x60, 0), Put(0x64, 0)]
        self.features = word(header, 0x20)
        if status != self.status:
            self.status = status
            actions.append(Put(0x10, self.identity.features & 0xFFFFFFFF))
        if word(header, 0x30) != self.sel:
            self.sel, self.num = word(header, 0x30), NEVER
        self.num = word(header, 0x38)
        pfn = word(header, 0x40)
        if not status & 4 and pfn not in (self.pfn, ACK, 0):
            self.pfn = pfn
            self.queues.append(self._queue(pfn))
            actions += [Put(0x40, ACK), Kick()]
        if status & 4 and not self.running:
            self.running = True
            actions += [Put(0x60, 1), Start(self.features, tuple(self.queues))]
        return actions

    def _queue(self, pfn: int) -> Queue:
        index, size, desc = len(self.queues), self.identity.queues[0], pfn * PAGE
        avail = desc + 16 * size
        used = -(-(avail + 2 * (3 + size)) // PAGE) * PAGE
        return Queue(index, size, desc, avail, used)


class Transactions:
    """Plays version 2: the registers of virtio 1.2 section 4.2.2, each with a transaction."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.status = 0
        self.taken = {0: 0, 1: 0}
        self.sizes: dict[int, int] = {}
        self.parts: dict[int, dict[int, int]] = {}
        self.running = False
        #: Whether no features are good enough.
        self.refuses = False

    def publish(self) -> list[Action]:
        return [*common(self.identity, 2, b"RSLV"), Put(0x00, 0x74726976)]

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        transaction = word(header, 0xD0)
        if not transaction:
            return []
        offset, size = transaction & 0xFFFF, transaction >> 16
        assert size == 4
        actions = self._written(offset, word(header, offset), header)
        return [*actions, Barrier(), Put(0xD0, 0), Kick()]

    def _written(self, offset: int, value: int, header: bytes) -> list[Action]:
        index = word(header, 0x30)
        match offset:
            case 0x70:
                return self._status(value)
            case 0x14:
                return [Put(0x10, self.identity.features >> 32 * value & 0xFFFFFFFF)]
            case 0x20:
                self.taken[word(header, 0x24)] = value
            case 0x30:
                known = value < len(self.identity.queues)
                return [
                    Put(0x34, self.identity.queues[value] if known else 0),
                    Put(0x44, 0),
                    Put(0xD4, self.identity.vectors[value] if known else 0),
                    Put(0xD8, self.identity.vectors[value] if known else 0),
                ]
            case 0x38:
                self.sizes[index] = value
            case 0x44 if value:
                words = {at: word(header, at) for at in range(0x80, 0xA8, 4)}
                self.parts[index] = words
            case 0x64:
                return [Put(0x60, word(header, 0x60) & ~(value & 2))]
            case _:
                assert offset in (0x24, 0xAC) or 0x80 <= offset < 0xA8
        return []

    def _status(self, value: int) -> list[Action]:
        actions: list[Action] = []
        features = self.taken[0] | self.taken[1] << 32
        if not value:
            if self.running:
                actions.append(Stop())
            self.running, self.sizes, self.parts = False, {}, {}
            return [*actions, Put(0x60, 0)]
        if value & 8 and (self.refuses or features & ~self.identity.features):
            return [Put(0x70, value & ~8)]
        if value & 4 and not self.running:
            self.running = True
            actions += [Put(0x60, 1), Start(features, tuple(self._queues()))]
        return actions

    def _queues(self) -> list[Queue]:
        def address(words: dict[int, int], at: int) -> int:
            return words[at] | words[at + 4] << 32

        return [
            Queue(
                index,
                self.sizes[index],
                address(words, 0x80),
                address(words, 0x90),
                address(words, 0xA0),
            )
            for index, words in sorted(self.parts.items())
        ]
