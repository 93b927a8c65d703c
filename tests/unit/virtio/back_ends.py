# SPDX-License-Identifier: BSD-3-Clause
"""The played vhost-user back-end, in a process or a thread, and a driver of its device."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rslctl.virtio.backend import Event
from rslctl.virtio.vhost_user import VhostUser

from tests.unit import REPOSITORY
from tests.unit.virtio import played_backend
from tests.unit.virtio.split_ring import BASE, LIMIT, turn
from tests.unit.virtio.storage import SIZE, Driven

#: A device of the played back-end: its configuration has 8 bytes.
PLAYED = 41


def next_event(backend: VhostUser) -> Event:
    """What the back-end tells next."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        event = turn(backend, 0.5)[1]
        if event is not None:
            return event
    raise AssertionError("nothing has happened")


class Played:
    """The played back-end in a process that can be killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.unit.virtio.played_backend", str(self.path)]
        env = {**os.environ, "PYTHONPATH": "tools"}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=env, cwd=REPOSITORY, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Asker:
    """A driver of the played device: asks with numbers, and checks that each is answered once."""

    def __init__(self, device: Driven) -> None:
        self._device = device
        self._asked: dict[int, tuple[int, int]] = {}
        self._free = [BASE + SIZE // 2 + 16 * n for n in range(40)]
        self.answers = 0

    def ask(self, number: int) -> bool:
        """Ask, if there is room; whether there was."""
        if not self._free:
            return False
        at = self._free.pop()
        self._device.memory.write(at, struct.pack("<QQ", number, 0))
        head = self._device.drivers[0].add([(at, 8)], [(at + 8, 8)])
        self._asked[head] = number, at
        self._device.notify(0)
        return True

    def take(self) -> None:
        while (got := self._device.drivers[0].get()) is not None:
            number, at = self._asked.pop(got[0])  # raises KeyError for a second answer
            (answer,) = struct.unpack("<Q", self._device.memory.read(at + 8, 8))
            assert answer == played_backend.answered(number)
            self._free.append(at)
            self.answers += 1

    @property
    def waiting(self) -> int:
        return len(self._asked)


@contextlib.contextmanager
def listening(
    path: Path,
    *,
    tamper: Callable[[int, bytes | None], bytes | None] = lambda _, answer: answer,
    features: int = played_backend.FEATURES,
    protocol: int = played_backend.PROTOCOL,
    sessions: list[played_backend.Session] | None = None,
) -> Iterator[None]:
    """The played back-end in a thread, whose answers are tampered with; it hangs up at the end."""
    sessions = [] if sessions is None else sessions
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                made = played_backend.Session(server.accept()[0], features, protocol)
                sessions.append(made)
                made.serve(tamper)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        for session in sessions:
            with contextlib.suppress(OSError):  # it has hung up
                session.connection.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT)
        server.close()
        path.unlink()
        assert not thread.is_alive()


@contextlib.contextmanager
def talking(
    path: Path,
    device: Driven,
    tamper: Callable[[int, bytes | None], bytes | None] = lambda _, answer: answer,
    protocol: int = played_backend.PROTOCOL,
) -> Iterator[tuple[VhostUser, played_backend.Session, socket.socket]]:
    """The played back-end, who talks to it, its session, and where it sends its own requests."""
    sessions: list[played_backend.Session] = []
    with (
        listening(path, tamper=tamper, sessions=sessions, protocol=protocol),
        contextlib.closing(played(path, device)) as backend,
    ):
        requests = sessions[0].requests
        assert requests is not None
        yield backend, sessions[0], requests


def played(path: Path, device: Driven, patience: float = LIMIT) -> VhostUser:
    return VhostUser(PLAYED, str(path), device.window, (128,), patience=patience)
