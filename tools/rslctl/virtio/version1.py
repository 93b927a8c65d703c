# SPDX-License-Identifier: BSD-3-Clause
"""Version 1: the header as existing firmware uses it, in the order that the RSL daemon expects.

It is virtio-mmio's legacy interface (virtio 1.2, 4.2.4) in memory where nothing traps. The driver
rings after some of its writes. The only answer that it waits for is PFN_ACK in QUEUE_PFN, after
which it writes the PFN again. Source: virtio/mmio.c of OpenAMP's fork of kvmtool, branch
hvl-integration, and lib/virtio_mmio of open-amp, branch virtio-exp.

The device may look late, when the driver has written several registers, or has begun anew. These
tell what it did:

- QUEUE_PFN is 0 and QUEUE_NUM is QUEUE_UNSET from DRIVER_OK on: the device writes that, which no
  driver reads. So a PFN in a device that runs is that of a driver that has begun anew.
- QUEUE_NUM is QUEUE_UNSET from PFN_ACK on, so a number in it is for the next queue.
- A driver sets up queue 0 first. If it selects it when others are set up, it has begun anew.
- STATUS may tell nothing: virtio-exp writes each bit alone, virtio-exp-v2025.04 adds it to what is
  there, and neither writes 0.
- A PFN that is known may have been left there by the driver before, or be that of a driver that
  waits. The registers do not tell. What tells is that they stay as they are: see *rested* of
  Engine.look(). A driver waits for 4 seconds (virtio_mmio_hvl_wait_cfg() of open-amp).
"""

from __future__ import annotations

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
    power_of_two,
    word,
    wrong,
)
from rslctl.virtio.registers import PFN_ACK, QUEUE_UNSET, Interrupt, Register, Status

#: The bits of STATUS that no driver has written that sets up queues: they are of the one before.
_LEFT = Status.DRIVER_OK | Status.NEEDS_RESET
#: The sizes in bytes of a page, and of an alignment, that are believed. The smallest is what a
#: descriptor table needs.
_PAGES = (16, 0x10000)


@dataclass(frozen=True)
class _Written:
    """What the driver has written."""

    status: int
    features: int
    page_size: int
    sel: int
    num: int
    align: int
    pfn: int
    interrupt_ack: int

    @classmethod
    def read(cls, header: bytes) -> _Written:
        return cls(
            status=word(header, Register.STATUS),
            features=word(header, Register.DRIVER_FEATURES),
            page_size=word(header, Register.GUEST_PAGE_SIZE),
            sel=word(header, Register.QUEUE_SEL),
            num=word(header, Register.QUEUE_NUM),
            align=word(header, Register.QUEUE_ALIGN),
            pfn=word(header, Register.QUEUE_PFN),
            interrupt_ack=word(header, Register.INTERRUPT_ACK),
        )

    @property
    def has_pfn(self) -> bool:
        return self.pfn not in (0, PFN_ACK)

    @property
    def runs(self) -> bool:
        return bool(self.status & Status.DRIVER_OK) and not self.status & Status.FAILED


class Version1(Base):
    """The engine of version 1."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, 1, registers.VENDOR_LKVM)
        #: The queues that the driver has set up, in its order.
        self._queues: list[Queue] = []
        #: Whether the device has answered DRIVER_OK: QUEUE_PFN is 0 unless a driver writes it.
        self._answered = False
        #: The PFN that QUEUE_PFN may have without being a new queue; 0 if there is none.
        self._known = 0
        #: The last QUEUE_NUM that a driver wrote; 0 if none did.
        self._num = 0

    def offered(self) -> int:
        return super().offered() & 0xFFFF_FFFF

    def publish(self) -> list[Action]:
        self._reset()
        self.running = self.unsure = False
        self._status = self._interrupts = self._known = self._num = 0
        return self.header(
            {
                Register.DEVICE_FEATURES: self.offered(),
                Register.GUEST_PAGE_SIZE: registers.PAGE_SIZE,
                Register.QUEUE_SEL: QUEUE_UNSET,
                Register.QUEUE_NUM_MAX: min(self.identity.queues, default=0),
                Register.QUEUE_NUM: QUEUE_UNSET,
                Register.QUEUE_ALIGN: registers.PAGE_SIZE,
            }
        )

    def config(self, data: bytes) -> list[Action]:
        puts = self.change(data)
        if not puts or not self.running:
            return puts
        # What the driver has acknowledged so far is not this change.
        acknowledged = Put(Register.INTERRUPT_ACK, 0)
        changed = self.interrupt(self._interrupts | Interrupt.CONFIG)
        return [*puts, acknowledged, changed, Kick()]

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]:
        written = _Written.read(header)
        actions = self._acknowledged(written.interrupt_ack)
        anew = self._began_anew(written, rested)
        if anew:
            actions += self._begin()
        self._status = written.status
        if anew and written.has_pfn and written.status & _LEFT:
            # A driver that only adds bits to STATUS would have it run before all queues are set up,
            # and never again after NEEDS_RESET. It waits for PFN_ACK, and writes nothing meanwhile.
            self._status = Status.ACKNOWLEDGE | Status.DRIVER
            actions.append(Put(Register.STATUS, self._status))
        self.unsure = False
        if self._broken or self.running or not written.status or written.status & Status.FAILED:
            return actions
        if written.has_pfn:
            actions += self._queue(written, rested)
        # If only a PFN told that a driver has begun anew, STATUS is of the one before.
        if written.runs and not anew and not self._status & Status.NEEDS_RESET:
            actions += self._driver_ok(written.features)
        return actions

    def _acknowledged(self, bits: int) -> list[Action]:
        """Clear INTERRUPT_ACK, and of INTERRUPT_STATUS the bit for configuration changes only.

        The other bit stays for as long as the device runs, so that a back-end needs nobody who
        sets it: a driver then looks at its queues at each interrupt.
        """
        if not bits:
            return []
        actions: list[Action] = [Put(Register.INTERRUPT_ACK, 0)]
        if bits & self._interrupts & Interrupt.CONFIG:
            actions.append(self.interrupt(self._interrupts & ~Interrupt.CONFIG))
        return actions

    def _is_new(self, written: _Written) -> bool:
        """Whether the PFN is one that is not known."""
        return written.has_pfn and written.pfn != self._known

    def _began_anew(self, written: _Written, rested: bool) -> bool:
        """Whether the driver has reset the device, or another one has begun."""
        bit = Status.NEEDS_RESET
        if self._broken and not written.status & bit:
            return True
        # The device may have written the bit over the first STATUS of a driver that begins anew.
        if written.status & ~bit < self._status & ~bit:
            return True
        if self._answered:
            return not written.runs or written.has_pfn
        first = written.sel == 0 and (self._broken or bool(self._queues))
        return first and (self._is_new(written) or (rested and self._stays(written)))

    def _stays(self, written: _Written) -> bool:
        """Whether QUEUE_NUM was written, while QUEUE_PFN has a known PFN."""
        return written.has_pfn and written.pfn == self._known and written.num != QUEUE_UNSET

    def _begin(self) -> list[Action]:
        """Forget the driver before. The one that begins may wait until no interrupt is there."""
        actions = self.stop()
        if self._interrupts:
            actions += [self.interrupt(0), Kick()]
        self._reset()
        return actions

    def _reset(self) -> None:
        self._queues = []
        self._broken = self._answered = False

    def _queue(self, written: _Written, rested: bool) -> list[Action]:
        """Take the next queue, if the PFN is that of one."""
        if self._is_new(written):
            return self._take(written)
        if written.num == QUEUE_UNSET:
            # Written back after PFN_ACK, or written over it by a driver that has not seen it.
            if not self._queues:
                return []
            if rested:
                return [Put(Register.QUEUE_PFN, PFN_ACK), Kick()]
        elif self._queues and written.sel:
            return []  # the driver writes the PFN of the next queue soon
        elif rested:
            return self._take(written)
        self.unsure = True
        return []

    def _take(self, written: _Written) -> list[Action]:
        """Check the queue that the driver describes, and tell the driver that it is taken."""
        self._known = written.pfn
        if written.num != QUEUE_UNSET:
            self._num = written.num
        index, sizes = len(self._queues), self.identity.queues
        if index >= len(sizes):
            return self.needs_reset(f"the driver sets up {index + 1} queues, of {len(sizes)}")
        for name, size in (("page", written.page_size), ("alignment", written.align)):
            if not power_of_two(size) or not _PAGES[0] <= size <= _PAGES[1]:
                return self.needs_reset(
                    f"the {name} of queue {index} has {size} bytes, expected a power of two from "
                    f"{_PAGES[0]} to {_PAGES[1]}"
                )
        size = self._num or sizes[index]
        # The ring of virtio 1.2, 2.7.2, which includes used_event and avail_event.
        desc = written.pfn * written.page_size
        avail = desc + 16 * size
        used = -(-(avail + 2 * (3 + size)) // written.align) * written.align
        queue = Queue(index, size, desc, avail, used)
        reason = wrong(queue, sizes[index], self.identity.memory)
        if reason:
            return self.needs_reset(reason)
        self._queues.append(queue)
        # PFN_ACK comes last: the driver goes on when it sees it.
        number = Put(Register.QUEUE_NUM, QUEUE_UNSET)
        return [number, Barrier(), Put(Register.QUEUE_PFN, PFN_ACK), Kick()]

    def _driver_ok(self, features: int) -> list[Action]:
        if not self._queues:
            return self.needs_reset("the driver has set up no queue")
        self.running = self._answered = True
        self.unsure = False
        self._known = 0
        return [
            Put(Register.QUEUE_NUM, QUEUE_UNSET),
            Put(Register.QUEUE_PFN, 0),
            self.interrupt(Interrupt.USED),
            Start(features & self.offered(), tuple(self._queues)),
        ]
