# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user back-end, played: python3 -m tests.unit.virtio.played_backend SOCKET

It plays libvhost-user of QEMU 8 (subprojects/libvhost-user/libvhost-user.c: vu_dispatch(),
vu_check_queue_inflights(), vu_queue_inflight_get() and its relatives) as a back-end with all
protocol features that rslctl uses, and with a device that answers a number with another, several
requests at a time and the last first, so that their order is not kept. It leaves out: indirect
tables, event indices, packed queues, logging, and more than one region of memory. It checks no
request for which libvhost-user panics, but the ones that matter here.
"""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import VERSION_1

FEATURES = VERSION_1 | messages.PROTOCOL_FEATURES
PROTOCOL = (
    messages.MQ
    | messages.REPLY_ACK
    | messages.BACKEND_REQ
    | messages.CONFIG
    | messages.INFLIGHT_SHMFD
)
CONFIG = b"01234567"

#: How many requests it has in flight before it ends one.
_AT_ONCE = 4
_QUEUE_WORDS = {
    messages.SET_VRING_NUM: "num",
    messages.SET_VRING_BASE: "base",
    messages.SET_VRING_ENABLE: "enabled",
}
_QUEUE_FILES = {
    messages.SET_VRING_KICK: "kick",
    messages.SET_VRING_CALL: "call",
    messages.SET_VRING_ERR: "error",
}
_MASK = 0xA5A5A5A5_5A5A5A5A


def answered(number: int) -> int:
    """What the device answers."""
    return number ^ _MASK


@dataclass
class _Queue:
    num: int = 0
    base: int = 0
    used: int = 0
    address: tuple[int, int, int] = (0, 0, 0)
    kick: int = -1
    call: int = -1
    error: int = -1
    enabled: int = 0
    counter: int = 0
    #: The heads that are in flight, oldest first.
    heads: list[int] = field(default_factory=list)


class Session:
    """One connection, as long as it lasts."""

    def __init__(self, connection: socket.socket, features: int, protocol: int) -> None:
        self.connection = connection
        self.features = features
        self.protocol = protocol
        self.requests: socket.socket | None = None
        self.config = CONFIG
        self.queues: dict[int, _Queue] = {}
        self.memory: mmap.mmap | None = None
        self.region = (0, 0, 0, 0)
        self.inflight: mmap.mmap | None = None
        self._step = 0
        self._acknowledges = False

    def serve(self, tamper: Callable[[int, bytes | None], bytes | None] = lambda _, x: x) -> None:
        """Answer messages and requests until the front-end hangs up, or *tamper* says so.

        *tamper* is asked before each answer, and for messages without an answer, too: it returns
        the bytes to send, and raises EOFError to hang up.
        """
        with contextlib.suppress(EOFError, ConnectionError), contextlib.ExitStack() as stack:
            stack.callback(self.close)
            while True:
                running = [q.kick for q in self.queues.values() if q.kick >= 0]
                waited: list[int | socket.socket] = [self.connection, *running]
                ready = select.select(waited, [], [])[0]
                for queue in self.queues.values():
                    if queue.kick in ready:
                        with contextlib.suppress(BlockingIOError):
                            os.eventfd_read(queue.kick)
                        self._work(queue)
                if self.connection in ready:
                    self._message(tamper)

    def close(self) -> None:
        for queue in self.queues.values():
            for fd in (queue.kick, queue.call, queue.error):
                if fd >= 0:
                    os.close(fd)
        self.queues = {}
        self.connection.close()
        if self.requests is not None:
            self.requests.close()
        for mapping in (self.memory, self.inflight):
            if mapping is not None:
                mapping.close()

    def _message(self, tamper: Callable[[int, bytes | None], bytes | None]) -> None:
        head, fds = self._receive(messages.HEADER.size)
        request, flags, size = messages.HEADER.unpack(head)
        data = self._receive(size)[0] if size else b""
        answer, given = self._handle(request, data, fds)
        if answer is None and flags & 8 and self._acknowledges:
            answer = messages.U64.pack(0)
        whole = None
        if answer is not None:
            whole = messages.HEADER.pack(request, 5, len(answer)) + answer
        try:
            whole = tamper(request, whole)
            if whole is not None:
                socket.send_fds(self.connection, [whole], given)
        finally:
            for fd in given:
                os.close(fd)

    def _receive(self, size: int) -> tuple[bytes, list[int]]:
        data, fds = b"", array.array("i")
        while len(data) < size:
            part, rights, _, _ = self.connection.recvmsg(size - len(data), 64)
            if not part:
                raise EOFError
            data += part
            for _, _, each in rights:
                fds.frombytes(each)
        return data, fds.tolist()

    def _queue(self, index: int) -> _Queue:
        return self.queues.setdefault(index, _Queue())

    def _handle(self, request: int, data: bytes, fds: list[int]) -> tuple[bytes | None, list[int]]:
        """Do what a message says: the answer, and the descriptors for it."""
        numbers = struct.unpack(f"={len(data) // 4}I", data[: len(data) // 4 * 4])
        told = {
            messages.GET_FEATURES: self.features,
            messages.GET_PROTOCOL_FEATURES: self.protocol,
            messages.GET_QUEUE_NUM: 2,
        }
        if request in told:
            return messages.U64.pack(told[request]), []
        if request == messages.GET_CONFIG:
            right = numbers[1] == len(self.config)
            return data[:12] + self.config if right else b"", []
        if request == messages.GET_INFLIGHT_FD:
            return self._give_inflight(data)
        if request == messages.GET_VRING_BASE:
            return self._stop(numbers[0])
        if request in _QUEUE_WORDS:
            setattr(self._queue(numbers[0]), _QUEUE_WORDS[request], numbers[1])
        elif request in _QUEUE_FILES:
            setattr(self._queue(numbers[0]), _QUEUE_FILES[request], fds[0])
            if request == messages.SET_VRING_CALL:
                os.eventfd_write(fds[0], 1)
            elif request == messages.SET_VRING_KICK:
                self._recover(numbers[0])
        elif request == messages.SET_VRING_ADDR:
            self._place(data)
        else:
            self._handle_rest(request, data, fds, numbers)
        return None, []

    def _handle_rest(
        self, request: int, data: bytes, fds: list[int], numbers: tuple[int, ...]
    ) -> None:
        """Do what a message says that is of no queue, and has no answer."""
        if request == messages.SET_PROTOCOL_FEATURES:
            self._acknowledges = bool(numbers[0] & messages.REPLY_ACK)
        elif request == messages.SET_FEATURES:
            if not struct.unpack("=Q", data)[0] & VERSION_1:
                raise EOFError  # "virtio legacy devices aren't supported by libvhost-user"
        elif request == messages.SET_BACKEND_REQ_FD:
            self.requests = socket.socket(fileno=fds[0])
        elif request == messages.SET_MEM_TABLE:
            self._map(data, fds[0])
        elif request == messages.SET_INFLIGHT_FD:
            size, offset, queues, _ = messages.INFLIGHT.unpack(data)
            self.inflight = mmap.mmap(fds[0], size, offset=offset)
            self._step = size // queues
            os.close(fds[0])

    def _map(self, data: bytes, fd: int) -> None:
        count, _, *self.region = messages.MEMORY.unpack(data)  # type: ignore[assignment]
        assert count == 1
        # It maps from the first byte of the descriptor, as libvhost-user does.
        _, size, _, offset = self.region
        self.memory = mmap.mmap(fd, size + offset)
        os.close(fd)

    def _place(self, data: bytes) -> None:
        index, _, *parts, _ = messages.ADDRESS.unpack(data)
        _, size, user, offset = self.region
        assert all(user <= each < user + size for each in parts)
        desc, used, avail = (each - user + offset for each in parts)
        queue = self._queue(index)
        queue.address = desc, used, avail
        queue.used = self._u16(used + 2)

    def _stop(self, index: int) -> tuple[bytes, list[int]]:
        queue = self.queues[index]
        while queue.heads:
            self._end(queue, index)
        self.queues[index] = _Queue()
        for fd in (queue.kick, queue.call, queue.error):
            if fd >= 0:
                os.close(fd)
        return messages.STATE.pack(index, queue.base), []

    def _u16(self, at: int) -> int:
        assert self.memory is not None
        return int(struct.unpack_from("<H", self.memory, at)[0])

    # What is in flight: QueueRegionSplit and DescStateSplit of the protocol.

    @staticmethod
    def _give_inflight(data: bytes) -> tuple[bytes, list[int]]:
        _, _, queues, size = messages.INFLIGHT.unpack(data)
        whole = queues * ((16 * size + 16 + 63) & ~63)
        fd = os.memfd_create("vhost-inflight", os.MFD_CLOEXEC)
        os.ftruncate(fd, whole)
        return messages.INFLIGHT.pack(whole, 0, queues, size), [fd]

    def _recover(self, index: int) -> None:
        if self.inflight is None:
            return
        queue, at, buffer = self.queues[index], index * self._step, self.inflight
        version, _, batch, used = struct.unpack_from("=4H", buffer, at + 8)
        if not version:
            struct.pack_into("=2H", buffer, at + 8, 1, queue.num)
            return
        if used != queue.used:
            buffer[at + 16 + 16 * batch] = 0
            struct.pack_into("=H", buffer, at + 14, queue.used)
        states = [struct.unpack_from("=B7xQ", buffer, at + 16 + 16 * n) for n in range(queue.num)]
        queue.heads = sorted(
            (n for n in range(queue.num) if states[n][0]), key=lambda n: states[n][1]
        )
        queue.base = queue.used + len(queue.heads) & 0xFFFF
        queue.counter = max((state[1] for state in states), default=0) + 1
        os.eventfd_write(queue.kick, 1)

    def _work(self, queue: _Queue) -> None:
        index = next(n for n, each in self.queues.items() if each is queue)
        if not queue.enabled:
            os.eventfd_write(queue.kick, 1)  # it is enabled by one of the next messages
            return
        _, _, avail = queue.address
        while True:
            while queue.base != self._u16(avail + 2) and len(queue.heads) < _AT_ONCE:
                head = self._u16(avail + 4 + 2 * (queue.base % queue.num))
                queue.base = queue.base + 1 & 0xFFFF
                if self.inflight is not None:
                    state = index * self._step + 16 + 16 * head
                    struct.pack_into("=Q", self.inflight, state + 8, queue.counter)
                    self.inflight[state] = 1
                queue.counter += 1
                queue.heads.append(head)
            if not queue.heads:
                return
            self._end(queue, index)

    def _end(self, queue: _Queue, index: int) -> None:
        """End the youngest request."""
        assert self.memory is not None
        head = queue.heads.pop()
        desc, used, _ = queue.address
        base, _, _, offset = self.region
        request, _, _, following = struct.unpack_from("<QIHH", self.memory, desc + 16 * head)
        (room,) = struct.unpack_from("<Q", self.memory, desc + 16 * following)
        (number,) = struct.unpack_from("<Q", self.memory, request - base + offset)
        struct.pack_into("<Q", self.memory, room - base + offset, answered(number))
        if self.inflight is not None:
            struct.pack_into("=H", self.inflight, index * self._step + 12, head)
        struct.pack_into("<2I", self.memory, used + 4 + 8 * (queue.used % queue.num), head, 8)
        queue.used = queue.used + 1 & 0xFFFF
        struct.pack_into("<H", self.memory, used + 2, queue.used)
        if self.inflight is not None:
            self.inflight[index * self._step + 16 + 16 * head] = 0
            struct.pack_into("=H", self.inflight, index * self._step + 14, queue.used)
        os.eventfd_write(queue.call, 1)


def main() -> None:
    """Serve one front-end after another at the socket, until killed."""
    path = sys.argv[1]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        print("ready", flush=True)
        while True:
            Session(listening.accept()[0], FEATURES, PROTOCOL).serve()


if __name__ == "__main__":
    main()
