# SPDX-License-Identifier: BSD-3-Clause
"""A remote with rsl_remote.h, and Linux's side of its link.

The remote is driver.c in a process of its own. The shared memory is a file in memory that both
map, the interrupts are eventfds. This side runs while the remote is asked something.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import subprocess
import threading
from pathlib import Path
from typing import Protocol

import pytest
from rslctl.region import Region
from rslctl.virtio.backend import Backend, Wired
from rslctl.virtio.engine import Action, Barrier, Broken, Identity, Kick, Put, Start, Stop
from rslctl.virtio.engines import engine
from rslctl.virtio.memory import Memory
from rslctl.virtio.wiring import signal

from tests.unit import REPOSITORY, c_programs

HERE = REPOSITORY / "tests/unit/rsl_remote"
DRIVER, MAD = HERE / "driver.c", HERE / "mad.c"
WARNINGS = [
    *("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow", "-Wconversion"),
    *("-Wno-sign-conversion", f"-I{REPOSITORY / 'tools/librsl'}"),
]

#: The address at which the remote sees the memory, its size, and where the regions begin in it.
BASE, SIZE, REGIONS = 0x7_4000_0000, 0x90_0000, 0x1_0000
HEADER_SIZE = 0x200

AGAIN, LOST, SILENT, ABSENT, INVALID, FULL, REFUSED, CLOSED = range(-1, -9, -1)


def build(source: Path, target: Path, compiler: str, *flags: str) -> str:
    """What a compiler says of a program with rsl_remote.h; the empty string where it built it."""
    return c_programs.build(source, target, compiler, *flags, *WARNINGS)


def built(source: Path, directory: Path) -> Path:
    """A program with rsl_remote.h for this machine."""
    return c_programs.built(source, directory, *WARNINGS)


class Engine(Protocol):
    """The part of rslctl.virtio.engine.Engine that all tests use."""

    def publish(self) -> list[Action]: ...

    def look(self, header: bytes, *, rested: bool = False) -> list[Action]: ...


class Served:
    """A device of the link: a header that an engine answers, and a back-end.

    It plays rslctl.virtio.device.Device, and leaves out what has no remote in it: texts, states, a
    back-end that fails or comes back.
    """

    def __init__(self, link: Link, header: int, engine_: Engine, backend: Backend) -> None:
        self.link, self.header, self.engine, self.backend = link, header, engine_, backend
        self.vectors: tuple[int, ...] = ()
        #: Of each queue that runs: its vector, and the eventfds.
        self.wired: list[tuple[int, Wired]] = []
        self.features = 0
        self.starts = self.stops = 0
        self.broken: list[str] = []

    def register(self, offset: int) -> int:
        return self.link.word(self.header + offset)

    def put(self, offset: int, value: int) -> None:
        self.link.put(self.header + offset, value)

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Put(offset, value):
                    self.put(offset, value)
                case Kick():
                    self.link.kick(0)
                case Start(features, queues):
                    self.starts += 1
                    self.features = features
                    self.wired = [
                        (self.vectors[each.index], Wired(each, _eventfd(), _eventfd()))
                        for each in queues
                    ]
                    self.backend.start(features, [wired for _, wired in self.wired])
                case Stop():
                    self.stops += 1
                    self.stop()
                case Broken(reason):
                    self.broken.append(reason)
                case Barrier():
                    pass

    def stop(self) -> None:
        self.backend.stop()
        for _, wired in self.wired:
            os.close(wired.kick)
            os.close(wired.call)
        self.wired = []

    def look(self, *, rested: bool = False) -> None:
        at = self.header
        self.perform(self.engine.look(self.link.map[at : at + HEADER_SIZE], rested=rested))

    def notified(self, vector: int) -> None:
        if vector == 0:
            self.look()
        for own, wired in self.wired:
            if own == vector:
                signal(wired.kick)

    def watch(self) -> dict[int, int]:
        return {**self.backend.watch(), **{wired.call: select.EPOLLIN for _, wired in self.wired}}

    def ready(self, fd: int, events: int) -> None:
        for vector, wired in self.wired:
            if wired.call == fd:
                os.eventfd_read(fd)
                self.link.kick(vector)
                return
        event = self.backend.ready(fd, events)
        if event:
            self.broken.append(event.reason)


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


class Link:
    """A link, and the remote at its other end."""

    def __init__(self, program: Path, version: int, vectors: int = 1) -> None:
        self.version, self.vectors = version, vectors
        self.memfd = os.memfd_create("link")
        os.ftruncate(self.memfd, SIZE)
        self.map = mmap.mmap(self.memfd, SIZE)
        self.memory = Memory(self.map, BASE)
        self.notifies = [_eventfd() for _ in range(vectors)]
        self.kicks = [_eventfd() for _ in range(vectors)]
        self.devices: list[Served] = []
        self.end = REGIONS
        command = [program, self.memfd, hex(SIZE), hex(BASE), version, vectors]
        self.process = subprocess.Popen(
            [str(word) for word in [*command, *self.notifies, *self.kicks]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[self.memfd, *self.notifies, *self.kicks],
        )
        assert self.process.stdout
        self.out = self.process.stdout.fileno()
        # One that hangs is to fail its test, not to keep it.
        self.watchdog = threading.Timer(60, self.process.kill)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.rest = b""
        assert self._answer() == ["0"]

    def word(self, offset: int) -> int:
        return self.memory.u32(BASE + offset)

    def put(self, offset: int, value: int) -> None:
        self.memory.set_u32(BASE + offset, value)

    def kick(self, vector: int) -> None:
        signal(self.kicks[vector])

    def identity(self, backend: Backend, size: int) -> Identity:
        """The next device's, with a region of *size* bytes."""
        region = Region(BASE + self.end, size)
        self.end += size
        first = sum(len(each.backend.queues) for each in self.devices)
        return Identity(
            device_id=backend.device_id,
            features=backend.offered(),
            config=backend.config(),
            queues=backend.queues,
            region=region,
            memory=Region(BASE, SIZE),
            vectors=tuple(
                0
                if self.vectors == 1 or self.version == 1
                else 1 + (first + n) % (self.vectors - 1)
                for n in range(len(backend.queues))
            ),
        )

    def serve(self, engine_: Engine, backend: Backend, vectors: tuple[int, ...]) -> Served:
        """Add a device, and publish it."""
        served = Served(self, HEADER_SIZE * len(self.devices), engine_, backend)
        served.vectors = vectors
        self.devices.append(served)
        served.perform(engine_.publish())
        return served

    def ask(self, *words: object) -> list[str]:
        """The words of the remote's answer."""
        assert self.process.stdin
        self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def number(self, *words: object) -> int:
        """What the remote's function returned."""
        return int(self.ask(*words)[0])

    def data(self, *words: object) -> bytes:
        """What a function that returned a length, or 0, gave."""
        rc, *found = self.ask(*words)
        assert int(rc) >= 0
        return bytes.fromhex(found[0]) if found else b""

    def trace(self) -> list[tuple[str, int, int]]:
        """What the remote wrote into headers, and notified, since this was last asked."""
        parts = (word.split(":") for word in self.ask("trace")[1:])
        return [(what, int(one, 16), int(other, 16)) for what, one, other in parts]

    def _answer(self) -> list[str]:
        while b"\n" not in self.rest:
            self.turn()
        while self.turn(0):
            pass
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode().split()

    def turn(self, timeout_ms: int = 150) -> bool:
        """Do what there is to do on this side; look again at headers when nothing comes."""
        poll = select.poll()
        watched = {fd: each for each in self.devices for fd in each.watch()}
        for fd in (self.out, *self.notifies):
            poll.register(fd, select.POLLIN)
        for fd, device in watched.items():
            poll.register(fd, device.watch()[fd])
        found = dict(poll.poll(timeout_ms))
        if not found and timeout_ms:
            for device in self.devices:
                device.look(rested=True)
        # Before the answer: what was notified came before it.
        for vector, fd in enumerate(self.notifies):
            if fd in found:
                self._notified(vector)
        if self.out in found:
            self._read()
        for fd in watched.keys() & found.keys():
            # What was handled before may have closed it.
            if fd in watched[fd].watch():
                watched[fd].ready(fd, found[fd])
        return bool(found)

    def _notified(self, vector: int) -> None:
        os.eventfd_read(self.notifies[vector])
        for device in self.devices:
            device.notified(vector)

    def _read(self) -> None:
        """Read a part of the remote's answer."""
        part = os.read(self.out, 1 << 20)
        if not part:
            assert self.process.stderr
            pytest.fail(f"the remote ended: {self.process.stderr.read().decode()}")
        self.rest += part

    def fill(self, offset: int, form: str, *values: int) -> None:
        struct.pack_into(form, self.map, offset, *values)

    def close(self) -> None:
        """End the remote, which a sanitizer makes a failure of if it has seen one."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.stdout
        assert self.process.stderr
        err = self.process.stderr.read()
        self.process.wait(timeout=30)
        self.watchdog.cancel()
        self.process.stdout.close()
        self.process.stderr.close()
        for device in self.devices:
            device.stop()
            device.backend.close()
        for fd in (*self.notifies, *self.kicks):
            os.close(fd)
        self.memory.close()
        self.map.close()
        os.close(self.memfd)
        assert (self.process.returncode, err) == (0, b"")


def serve(link: Link, backend: Backend, size: int = 0x80000) -> Served:
    """Add a device with the engine of the link's version, and a region of *size* bytes."""
    identity = link.identity(backend, size)
    return link.serve(engine(link.version, identity), backend, identity.vectors)
