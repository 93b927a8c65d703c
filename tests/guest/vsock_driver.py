# SPDX-License-Identifier: BSD-3-Clause
"""The remote's virtio-vsock driver, played on Linux's side of the link.

It plays net/vmw_vsock/virtio_transport.c of Linux, or a driver on Zephyr's
drivers/virtio: it owns the two virtqueues, posts buffers to receive in, sends packets, and is
woken by interrupts. Structures are those of virtio 1.2: split virtqueues of section 2.7, packets
of section 5.10.6. The test's programs share :class:`Layout`; a real link has it in its board
profile.

What it leaves out: the event queue (which vhost-vsock leaves to others, too), datagrams and
SOCK_SEQPACKET, indirect descriptors, event indices, the suppression of interrupts, negotiation of
features, connections that it opens itself, and waiting for credit, which the client always
leaves. Python has no barriers: the order of its stores is the emulator's. Each index is one
aligned access of 2 bytes.

A remote of this board cannot run it, but its core is in the path: the driver's notifications
are kicks that the core answers, each with an interrupt that signals vhost. vhost's interrupts
are kicks of the core, and its answer is what wakes the driver.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

#: The queues (5.10.2), and the descriptors of each.
RX, TX = 0, 1
QUEUE_SIZE = 16

BUFFER_SIZE = 4096


class Layout:
    """Where things are, in bytes from the first of the window."""

    SIZE = 0x40000

    @staticmethod
    def descriptors(queue: int) -> int:
        return queue * 0x4000

    @staticmethod
    def available(queue: int) -> int:
        return queue * 0x4000 + 0x1000

    @staticmethod
    def used(queue: int) -> int:
        return queue * 0x4000 + 0x2000

    @staticmethod
    def buffer(queue: int, slot: int) -> int:
        return 0x10000 + (queue * QUEUE_SIZE + slot) * BUFFER_SIZE


#: struct virtq_desc: addr, len, flags, next.
_DESCRIPTOR = struct.Struct("<QIHH")
#: Flag of a descriptor that the device writes to.
_WRITE = 2
#: struct virtq_used_elem: id, len.
_USED = struct.Struct("<II")

#: struct virtio_vsock_hdr: src_cid, dst_cid, src_port, dst_port, len, type, op, flags,
#: buf_alloc, fwd_cnt.
HEADER = struct.Struct("<2Q3I2H3I")

HOST_CID = 2
TYPE_STREAM = 1
OP_REQUEST, OP_RESPONSE, OP_RST, OP_SHUTDOWN, OP_RW, OP_CREDIT_UPDATE, OP_CREDIT_REQUEST = range(
    1, 8
)

#: The port that the driver's side listens on.
PORT = 1234

#: What it promises to take of a connection's data that it has not forwarded yet.
BUFFER_ALLOCATED = 0x40000

#: What the service there does to each byte.
ANSWER = bytes(255 - byte for byte in range(256))


class Ring:
    """The driver's side of one split virtqueue."""

    def __init__(self, memory: mmap.mmap, queue: int) -> None:
        self._memory = memory
        self._descriptors = Layout.descriptors(queue)
        self._used = Layout.used(queue)
        # flags, idx, ring[QUEUE_SIZE], each of 2 bytes.
        self._available = self._words(Layout.available(queue), 2 + QUEUE_SIZE)
        self._used_words = self._words(self._used, 2)
        self._seen = 0
        #: The descriptors that the device does not have.
        self.free = list(range(QUEUE_SIZE))

    def _words(self, offset: int, count: int) -> memoryview:
        return memoryview(self._memory)[offset : offset + 2 * count].cast("H")

    def close(self) -> None:
        self._available.release()
        self._used_words.release()

    @property
    def used_index(self) -> int:
        """The number of buffers that the device has used, modulo 2**16."""
        return int(self._used_words[1])

    def put(self, address: int, size: int, *, writable: bool) -> None:
        """Make the first free descriptor available, for *size* bytes at a physical *address*."""
        slot = self.free.pop(0)
        at = self._descriptors + slot * _DESCRIPTOR.size
        flags = _WRITE if writable else 0
        self._memory[at : at + _DESCRIPTOR.size] = _DESCRIPTOR.pack(address, size, flags, 0)
        index = int(self._available[1])
        self._available[2 + index % QUEUE_SIZE] = slot
        self._available[1] = (index + 1) & 0xFFFF

    def take(self) -> tuple[int, int] | None:
        """The next descriptor that the device is done with, now free, and the bytes written."""
        if self.used_index == self._seen:
            return None
        at = self._used + 4 + self._seen % QUEUE_SIZE * _USED.size
        slot, size = _USED.unpack(self._memory[at : at + _USED.size])
        self._seen = (self._seen + 1) & 0xFFFF
        assert slot not in self.free, f"the device used descriptor {slot}, which it does not have"
        self.free.append(slot)
        return slot, size


@dataclass
class Connection:
    """What is counted for the credit of one connection (5.10.6.3)."""

    forwarded: int = 0
    sent: int = 0


class Driver(threading.Thread):
    """The driver, and on it a service that answers each byte with :data:`ANSWER` of it.

    It sleeps until its interrupt; a lost one is not made up for.
    """

    def __init__(
        self, window: int, base: int, cid: int, notify: Callable[[], None], interrupt: int
    ) -> None:
        """*window* is a descriptor of the memory, *base* its physical address. *notify* notifies
        the device, which signals the eventfd *interrupt*.
        """
        super().__init__(daemon=True)
        self.memory = mmap.mmap(window, Layout.SIZE)
        self.memory[:] = bytes(Layout.SIZE)
        self.rx, self.tx = Ring(self.memory, RX), Ring(self.memory, TX)
        self.notify = notify
        self._base, self._cid, self._interrupt = base, cid, interrupt
        self._connections: dict[tuple[int, int], Connection] = {}
        self._stopped = False
        self._error: Exception | None = None

    @property
    def idle(self) -> bool:
        """Whether no connection is open."""
        return not self._connections

    def stop(self) -> None:
        """End the thread; raises what it has failed with."""
        self._stopped = True
        os.eventfd_write(self._interrupt, 1)
        if self.ident is not None:
            self.join()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Stop, and leave the memory."""
        try:
            self.stop()
        finally:
            self.rx.close()
            self.tx.close()
            self.memory.close()

    def run(self) -> None:
        try:
            while self.rx.free:
                self._post()
            self.notify()
            while True:
                self._sleep()
                while not self._stopped and (used := self.rx.take()):
                    self._receive(*used)
                if self._stopped:
                    return
        except Exception as error:
            self._error = error

    def _sleep(self) -> None:
        os.eventfd_read(self._interrupt)
        while self.tx.take():
            pass

    def _post(self) -> None:
        """Give the device a buffer to write to."""
        address = self._base + Layout.buffer(RX, self.rx.free[0])
        self.rx.put(address, BUFFER_SIZE, writable=True)

    def _receive(self, slot: int, size: int) -> None:
        at = Layout.buffer(RX, slot)
        source, target, peer, port, length, kind, op, _, allocated, forwarded = HEADER.unpack(
            self.memory[at : at + HEADER.size]
        )
        assert (source, target, kind) == (HOST_CID, self._cid, TYPE_STREAM)
        assert size == HEADER.size + length
        data = self.memory[at + HEADER.size : at + size]
        self._post()
        self.notify()
        key = (port, peer)
        if op == OP_REQUEST and port == PORT:
            self._connections[key] = Connection()
            self._send(key, OP_RESPONSE)
        elif op == OP_RST:
            self._connections.pop(key, None)
        elif key not in self._connections or op == OP_SHUTDOWN:
            self._send(key, OP_RST)
            self._connections.pop(key, None)
        elif op == OP_RW:
            connection = self._connections[key]
            connection.forwarded += length
            connection.sent += length
            assert connection.sent - forwarded <= allocated, "the client leaves no credit"
            self._send(key, OP_RW, data.translate(ANSWER))
        elif op == OP_CREDIT_REQUEST:
            self._send(key, OP_CREDIT_UPDATE)
        else:
            assert op == OP_CREDIT_UPDATE, f"operation {op}"

    def _send(self, key: tuple[int, int], op: int, data: bytes = b"") -> None:
        while not self.tx.free and not self._stopped:
            self._sleep()
        port, peer = key
        forwarded = self._connections.get(key, Connection()).forwarded
        at = Layout.buffer(TX, self.tx.free[0])
        header = HEADER.pack(
            *(self._cid, HOST_CID, port, peer, len(data), TYPE_STREAM, op, 0),
            *(BUFFER_ALLOCATED, forwarded),
        )
        size = HEADER.size + len(data)
        self.memory[at : at + size] = header + data
        self.tx.put(self._base + at, size, writable=False)
        self.notify()
