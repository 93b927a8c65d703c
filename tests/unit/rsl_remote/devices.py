# SPDX-License-Identifier: BSD-3-Clause
"""Back-ends in Python, to have something behind each kind of device."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rslctl.virtio.backend import VERSION_1, Wired
from rslctl.virtio.built_in import BuiltIn
from rslctl.virtio.memory import Memory

HOST, GUEST = 2, 42


def seeded(seed: int) -> random.Random:
    """Numbers that are the same each time."""
    return random.Random(seed)  # noqa: S311


REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)


@dataclass(frozen=True)
class Packet:
    """struct virtio_vsock_hdr and what follows it."""

    op: int
    src_port: int
    dst_port: int
    data: bytes = b""
    flags: int = 0
    buf_alloc: int = 1 << 16
    fwd_cnt: int = 0
    src_cid: int = HOST
    dst_cid: int = GUEST
    type: int = 1

    HEADER = struct.Struct("<QQIIIHHIII")

    def pack(self) -> bytes:
        words = (self.src_cid, self.dst_cid, self.src_port, self.dst_port, len(self.data))
        rest = (self.type, self.op, self.flags, self.buf_alloc, self.fwd_cnt)
        return self.HEADER.pack(*words, *rest) + self.data

    @classmethod
    def unpack(cls, raw: bytes) -> Packet:
        src_cid, dst_cid, src_port, dst_port, size, *rest = cls.HEADER.unpack_from(raw)
        kind, op, flags, buf_alloc, fwd_cnt = rest
        data = raw[cls.HEADER.size :]
        assert len(data) == size
        return cls(op, src_port, dst_port, data, flags, buf_alloc, fwd_cnt, src_cid, dst_cid, kind)


class Pipes(BuiltIn):
    """A device that receives on queue 0 and sends on queue 1: bytes go to and come from lists."""

    queues: tuple[int, ...] = (128, 128, 128)

    def __init__(self, memory: Memory, barrier: Callable[[], None] = lambda: None) -> None:
        super().__init__(memory, barrier)
        self.sent: list[bytes] = []
        self.waiting: list[bytes] = []
        #: Whether buffers that the driver sends are left alone.
        self.deaf = False

    def give(self, data: bytes) -> None:
        """Have the driver receive this, in as many buffers as it takes."""
        self.waiting.append(data)
        self._work()
        for each in self._served.values():
            each.signal()

    def _work(self) -> bool:
        if not self._served:
            return False
        while not self.deaf and self.may_take() and (chain := self._served[1].pop()):
            self.sent.append(self._served[1].gather(chain, 0, chain.length))
            self._served[1].push(chain, 0)
            self.took()
        while self.waiting and (chain := self._served[0].pop()):
            part, rest = self.waiting[0][: chain.room], self.waiting[0][chain.room :]
            self.waiting[0:1] = [rest] * bool(rest)
            self._served[0].scatter(chain, part)
            self._served[0].push(chain, len(part))
        return False

    def may_take(self) -> bool:
        """Whether it takes another buffer that the driver sends."""
        return True

    def took(self) -> None:
        """It took one."""

    def hear(self) -> None:
        """No longer deaf."""
        self.deaf = False
        self._work()
        for each in self._served.values():
            each.signal()


class Vsock(Pipes):
    """Plays drivers/vhost/vsock.c: packets are handed on as they are.

    The AF_VSOCK sockets behind it (net/vmw_vsock) are Peer, or the test.
    """

    device_id = 19

    def config(self) -> bytes:
        return struct.pack("<Q", GUEST)

    def packets(self) -> list[Packet]:
        """What the driver sent since this was last asked."""
        found, self.sent = self.sent, []
        return [Packet.unpack(raw) for raw in found]

    def send(self, packet: Packet) -> None:
        self.give(packet.pack())


class Answering(Vsock):
    """Vsock whose sockets accept each connection, and end it when the driver does.

    It plays vhost_vsock_handle_tx_kick() and vhost_vsock_more_replies() of drivers/vhost/vsock.c:
    it takes nothing while as many answers wait to be received as the driver's queue has entries.
    It leaves out the kernel's threads: it acts only when it is notified, or sends.
    """

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        self.entries = queues[1].queue.size
        super().start(features, queues)

    def may_take(self) -> bool:
        return len(self.waiting) < self.entries

    def took(self) -> None:
        packet = Packet.unpack(self.sent[-1])
        ends = (packet.dst_port, packet.src_port)
        if packet.op == REQUEST:
            self.waiting.append(Packet(RESPONSE, *ends).pack())
        elif packet.op == SHUTDOWN:
            self.waiting.append(Packet(RST, *ends).pack())

    def _work(self) -> bool:
        # What was received makes room to take more (restart_tx there).
        before = -1
        while before != len(self.sent):
            before = len(self.sent)
            super()._work()
        return False


class Peer:
    """Plays a connected AF_VSOCK stream socket of Linux (virtio_transport_common.c).

    It counts credit as that does. It leaves out timeouts.
    """

    def __init__(self, vsock: Vsock, port: int, own_port: int, room: int = 4096) -> None:
        self.vsock, self.room = vsock, room
        self.template = Packet(RW, own_port, port, buf_alloc=room)
        self.received = b""
        self.taken = self.sent = 0
        self.peer_room = self.peer_taken = 0
        self.ops: list[int] = []

    def send_op(self, op: int, data: bytes = b"", flags: int = 0) -> None:
        packet = replace(self.template, op=op, data=data, flags=flags, fwd_cnt=self.taken)
        self.vsock.send(packet)

    def credit(self) -> int:
        return self.peer_room - (self.sent - self.peer_taken)

    def send(self, data: bytes, piece: int = 1000) -> int:
        """Send what there is credit for; return how much."""
        data = data[: min(self.credit(), piece)]
        if data:
            self.send_op(RW, data)
            self.sent += len(data)
        return len(data)

    def is_for_me(self, packet: Packet) -> bool:
        ends = (self.template.dst_port, self.template.src_port)
        return (packet.src_port, packet.dst_port) == ends

    def take(self, packet: Packet) -> None:
        """Take a packet of the remote's, and check that it kept to the credit it had."""
        self.ops.append(packet.op)
        self.peer_room, self.peer_taken = packet.buf_alloc, packet.fwd_cnt
        assert packet.src_cid == GUEST
        assert packet.dst_cid == HOST
        if packet.op == RW:
            assert packet.data
            self.received += packet.data
            assert len(self.received) - self.taken <= self.room
        if packet.op == CREDIT_REQUEST:
            self.send_op(CREDIT_UPDATE)

    def read(self) -> bytes:
        """Take all that was received, and tell so."""
        data = self.received[self.taken :]
        self.taken += len(data)
        if data:
            self.send_op(CREDIT_UPDATE)
        return data


class Net(Pipes):
    """Plays drivers/vhost/net.c: frames with a header of 12 bytes."""

    device_id = 1
    queues: tuple[int, ...] = (256, 256, 256)
    MAC, MRG_RXBUF = 1 << 5, 1 << 15
    features = MAC | MRG_RXBUF | VERSION_1

    def offered(self) -> int:
        return self.features

    def config(self) -> bytes:
        return bytes.fromhex("020000000001") + b"\1\0"


class Blk(BuiltIn):
    """Plays qemu-storage-daemon's vhost-user-blk: a disk in memory."""

    device_id = 2
    queues: tuple[int, ...] = (128,)
    FLUSH, RO = 1 << 9, 1 << 5
    features = FLUSH | VERSION_1

    def __init__(self, memory: Memory, sectors: int) -> None:
        super().__init__(memory, lambda: None)
        self.disk = bytearray(512 * sectors)
        self.requests: list[tuple[int, int, int]] = []
        self.status = 0
        self.silent = False

    def offered(self) -> int:
        return self.features

    def config(self) -> bytes:
        return struct.pack("<Q", len(self.disk) // 512).ljust(60, b"\0")

    def _work(self) -> bool:
        queue = self._served.get(0)
        while queue and not self.silent and (chain := queue.pop()):
            request = queue.gather(chain, 0, chain.length)
            kind, _, sector = struct.unpack_from("<IIQ", request)
            data, at = request[16:], 512 * sector
            assert chain.writable[-1][1] == 1
            room = chain.room - 1
            self.requests.append((kind, sector, (len(data) + room) // 512))
            if kind == 1:
                self.disk[at : at + len(data)] = data
            answer = bytes(self.disk[at : at + room]) if kind == 0 else b""
            queue.scatter(chain, answer + bytes([self.status]))
            queue.push(chain, len(answer) + 1)
        return False


class Fs(BuiltIn):
    """Plays virtiofsd: a directory of this machine, for reading.

    It leaves out that a name has one node as long as it is known: here it has another each time.
    """

    device_id = 26
    queues: tuple[int, ...] = (128, 128)

    def __init__(self, memory: Memory, directory: Path) -> None:
        super().__init__(memory, lambda: None)
        self.nodes = {1: directory}
        self.lookups = 0
        self.handles: dict[int, Path] = {}
        self.major = 7
        #: What is answered to all that is asked, if there is something here.
        self.answer: bytes | None = None

    def config(self) -> bytes:
        return b"myfs".ljust(36, b"\0") + struct.pack("<I", 1)

    def _work(self) -> bool:
        for number, queue in self._served.items():
            while chain := queue.pop():
                request = queue.gather(chain, 0, chain.length)
                answer = self._forget(request) if number == 0 else self._answer(request)
                assert len(answer) <= chain.room
                queue.scatter(chain, answer)
                queue.push(chain, len(answer))
        return False

    def _forget(self, request: bytes) -> bytes:
        """The queue for urgent requests: FORGET, which has no answer (virtio 1.2, 5.11.6.1)."""
        size, opcode, _, node, lookups = struct.unpack("<IIQQ16xQ", request)
        assert (size, opcode, lookups) == (len(request), 2, 1)
        del self.nodes[node]
        return b""

    def _answer(self, request: bytes) -> bytes:
        size, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        assert size == len(request)
        try:
            error, body = 0, self._do(opcode, node, request[40:])
        except FileNotFoundError:
            error, body = -2, b""
        answer = struct.pack("<IiQ", 16 + len(body), error, unique) + body
        return answer if self.answer is None else self.answer

    def _do(self, opcode: int, node: int, body: bytes) -> bytes:
        """The answer to one request: struct fuse_*_in and fuse_*_out of linux/fuse.h."""
        match opcode:
            case 26:  # INIT
                assert struct.unpack_from("<II", body) >= (7, 31)
                return struct.pack("<IIIIHHI", self.major, 38, 0, 0, 0, 0, 1 << 20).ljust(64, b"\0")
            case 1:  # LOOKUP
                path = self.nodes[node] / body.rstrip(b"\0").decode()
                found = path.stat()
                self.lookups += 1
                self.nodes[1 + self.lookups] = path
                entry = struct.pack("<QQQQII", 1 + self.lookups, 0, 1, 1, 0, 0)
                attr = struct.pack("<QQQ", found.st_ino, found.st_size, found.st_blocks)
                return entry + attr + bytes(36) + struct.pack("<I", found.st_mode) + bytes(24)
            case 14 | 27:  # OPEN, OPENDIR
                handle = 100 + len(self.handles)
                self.handles[handle] = self.nodes[node]
                return struct.pack("<QII", handle, 0, 0)
            case 15:  # READ
                handle, offset, size = struct.unpack_from("<QQI", body)
                assert len(body) == 40
                return self.handles[handle].read_bytes()[offset : offset + size]
            case 28:  # READDIR
                handle, offset, size = struct.unpack_from("<QQI", body)
                return self._entries(self.handles[handle], offset, size)
            case 18 | 29:  # RELEASE, RELEASEDIR
                del self.handles[struct.unpack_from("<Q", body)[0]]
                assert len(body) == 24
                return b""
        raise AssertionError(opcode)

    @staticmethod
    def _entries(directory: Path, offset: int, size: int) -> bytes:
        entries = b""
        for number, path in enumerate(sorted(directory.iterdir())):
            name = path.name.encode()
            entry = struct.pack("<QQII", path.stat().st_ino, number + 1, len(name), 8) + name
            entry += bytes(-len(entry) % 8)
            if number >= offset and len(entries) + len(entry) <= size:
                entries += entry
        return entries
