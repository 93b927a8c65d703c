# SPDX-License-Identifier: BSD-3-Clause
"""The real qemu-storage-daemon with a disk, and a driver that reads the disk, played."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rslctl.region import Region
from rslctl.virtio.backend import Backend, Event, Window
from rslctl.virtio.memory import Memory

from tests.unit.programs import there
from tests.unit.virtio.split_ring import BASE, LIMIT, Device, turn

SIZE = 1 << 20
#: Where the window begins in the descriptor: not at its first byte.
OFFSET = 0x10000

SECTOR = 512
SECTORS = 2048


def content(sector: int) -> bytes:
    """What the disk has in a sector."""
    return f"sector {sector:6} ".encode().ljust(SECTOR, b".")


class Driven(Device):
    """A driver, and the window of its memory that a back-end gets."""

    def __init__(self, sizes: Sequence[int], memory: Memory, window: Window) -> None:
        super().__init__(sizes, memory)
        self.window = window


@contextlib.contextmanager
def driven(*sizes: int) -> Iterator[Driven]:
    """A driver of queues of these sizes."""
    with window() as (seen, memory):
        made = Driven(sizes, memory, seen)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def window() -> Iterator[tuple[Window, Memory]]:
    """A window of memory as a link gives it to back-ends, and the same as the remote sees it."""
    fd = os.memfd_create("shmem", os.MFD_CLOEXEC)
    os.ftruncate(fd, OFFSET + SIZE)
    mapping = mmap.mmap(fd, SIZE, offset=OFFSET)
    memory = Memory(mapping, BASE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    try:
        yield Window(fd, OFFSET, Region(BASE, SIZE), address), memory
    finally:
        os.close(fd)


class Storage:
    """A qemu-storage-daemon that exports a disk at a socket; usable in ``with``."""

    def __init__(self, directory: Path, *, slow: bool = False) -> None:
        """A *slow* one takes all requests at once, and ends 50 a second."""
        self.socket = directory / "blk"
        self._slow = slow
        self._program = there("qemu-storage-daemon")
        self._disk = directory / "disk"
        self._disk.write_bytes(b"".join(content(each) for each in range(SECTORS)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it is ready for a front-end."""
        blockdev = f"driver=file,node-name=disk,filename={self._disk},cache.direct=off,aio=threads"
        command = [self._program, "--blockdev", blockdev, "--chardev", "stdio,id=qmp"]
        export = "type=vhost-user-blk,id=export,node-name=disk,writable=on"
        if self._slow:
            limited = "driver=throttle,node-name=slow,throttle-group=limit,file=disk"
            command += ["--object", "throttle-group,id=limit,x-iops-total=50"]
            command += ["--blockdev", limited]
            export = export.replace("node-name=disk", "node-name=slow")
        command += ["--export", f"{export},addr.type=unix,addr.path={self.socket}"]
        command += ["--monitor", "chardev=qmp"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        self._answer("QMP")  # all options have been handled
        self.ask({"execute": "qmp_capabilities"})

    def ask(self, command: object) -> None:
        """Execute a command of QMP."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        self._answer("return")

    def _answer(self, key: str) -> None:
        assert self._process is not None and self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "qemu-storage-daemon has ended"
            answer = json.loads(line)
            assert "error" not in answer, answer
            if key in answer:
                return

    @property
    def has_memory(self) -> bool:
        """Whether the window is mapped there."""
        assert self._process is not None
        return "/memfd:shmem" in Path(f"/proc/{self._process.pid}/maps").read_text()

    def pause(self) -> None:
        """Have it do nothing until :meth:`proceed`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def proceed(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def __enter__(self) -> Storage:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Reader:
    """A driver of blk, with buffers for a number of requests at a time.

    It plays drivers/block/virtio_blk.c of Linux as far as reads go, with the rings of
    :class:`Device`. It leaves out writes, features and the error handling.
    """

    #: Header, sector and status of a request.
    _ROOM = 16 + SECTOR + 16

    def __init__(self, device: Device) -> None:
        self.device = device
        self._start = BASE + SIZE // 2
        #: The sector and the buffers of each request, by its head.
        self._asked: dict[int, tuple[int, int]] = {}
        self._free = [self._start + n * self._ROOM for n in range(32)]

    @property
    def waiting(self) -> int:
        """The number of requests that were not answered yet."""
        return len(self._asked)

    def ask(self, sector: int) -> None:
        """Ask for a sector."""
        memory, driver = self.device.memory, self.device.drivers[0]
        at = self._free.pop()
        memory.write(at, struct.pack("<2IQ", 0, 0, sector) + bytes(SECTOR) + b"\xff")
        head = driver.add([(at, 16)], [(at + 16, SECTOR), (at + 16 + SECTOR, 1)])
        self._asked[head] = sector, at
        self.device.notify(0)

    def take(self) -> bool:
        """Take one answer, and see that it is right; whether there was one."""
        got = self.device.drivers[0].get()
        if got is None:
            return False
        head, written = got
        sector, at = self._asked.pop(head)
        self._free.append(at)
        data = self.device.memory.read(at + 16, SECTOR + 1)
        assert (data[:SECTOR], data[SECTOR], written) == (content(sector), 0, SECTOR + 1)
        return True

    def finish(self, backend: Backend) -> list[Event]:
        """Take all answers; what the back-end told meanwhile."""
        events = []
        deadline = time.monotonic() + LIMIT
        while self._asked:
            assert time.monotonic() < deadline, f"{self.waiting} requests are not answered"
            select.select([self.device.wired[0].call, *backend.watch()], [], [], 0.5)
            self.device.kicks(0)
            event = turn(backend)[1]
            if event is not None:
                events.append(event)
            while self.take():
                pass
        return events
