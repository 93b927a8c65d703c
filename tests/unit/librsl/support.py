# SPDX-License-Identifier: BSD-3-Clause
"""C programs with rsl.h, built on this machine, and links to hand to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit import REPOSITORY, c_programs

DRIVER = REPOSITORY / "tests/unit/librsl/driver.c"
EXAMPLE = REPOSITORY / "tools/examples/daemon.c"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", f"-I{REPOSITORY / 'tools/librsl'}"]

#: The size of the memory, and where it begins in the descriptor shmem.
SIZE, OFFSET = 64 * 1024, 4096


def build(source: Path, target: Path, compiler: str, *flags: str) -> str:
    """What a compiler says of a program with rsl.h; the empty string where it built it."""
    return c_programs.build(source, target, compiler, *flags, *WARNINGS)


def built(source: Path, directory: Path) -> Path:
    """A program with rsl.h for this machine."""
    return c_programs.built(source, directory, *WARNINGS)


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest of four vectors and memory, with other values for some keys."""
    return {
        "version": 1,
        "role": "daemon",
        "link": "rpu0",
        "board": None,
        "transport": "doorbell",
        "vectors": 4,
        "memory": {"base": 0x70000000, "size": SIZE, "offset": OFFSET},
        "descriptors": ["shmem", "mbox"],
        "virtio": {"device_tree": False, "devices": [{"kind": "rng", "header": 512}]},
        "remote_dt": None,
        "of-tomorrow": [{"x": 1e3}],
        **changes,
    }


def eventfd_names(vectors: int) -> list[str]:
    return [f"{kind}{n}" for kind in ("notify", "kick") for n in range(vectors)]


def as_bytes(document: dict[str, Any] | str | bytes) -> bytes:
    text = json.dumps(document) if isinstance(document, dict) else document
    return text.encode() if isinstance(text, str) else text


def memfd(content: bytes = b"") -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


def spawn(command: list[str | Path], fds: list[int], **environment: str) -> subprocess.Popen[str]:
    """A program with nothing in its environment of who started this one."""
    foreign = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET")
    kept = {key: value for key, value in os.environ.items() if key not in foreign}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=fds,
        env=kept | environment,
    )
    # One that hangs is to fail its test, not to keep it.
    watchdog = threading.Timer(60, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def hand_over(
    driver: Path, fds: list[tuple[str, int]], *program: str | Path, **environment: str
) -> subprocess.Popen[str]:
    """A program whose descriptors from 3 on are these, by these names, and no others."""
    numbers = [fd for _, fd in fds]
    listen = {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(name for name, _ in fds)}
    command = [driver, "place", ",".join(map(str, numbers)), *program]
    return spawn(command, numbers, **listen | environment)


class Link:
    """A process of the driver that was to receive a link, and does what it is asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        #: The errno, how many more descriptors are open than before, and the text.
        word, self.outcome, opened, self.error = self.line().split(" ", 3)
        assert word == "receive"
        self.opened = int(opened)
        self.facts = self.line().split()[1:] if self.outcome == "0" else []

    @property
    def errno(self) -> int:
        return -int(self.outcome)

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the driver ended: {self.process.communicate()[1]}")
        return line.rstrip("\n")

    def ask(self, *words: object) -> list[str]:
        """The words of the answer after the first, which is the command's."""
        assert self.process.stdin
        print(*words, file=self.process.stdin, flush=True)
        verb, *answer = self.line().split()
        assert verb == words[0]
        return answer

    def number(self, *words: object) -> int:
        (answer,) = self.ask(*words)
        return int(answer)

    def wait(self, timeout_ms: int) -> tuple[int, int]:
        """What rsl_wait() returned, and the mask."""
        rc, mask, _ = map(int, self.ask("wait", timeout_ms))
        return rc, mask

    def end(self) -> None:
        """Let it end, which a sanitizer makes a failure of if it has seen one."""
        out, err = self.process.communicate(timeout=20)
        assert (self.process.returncode, out, err) == (0, "", "")


Fds = list[tuple[str, int]]


class World:
    """The other end of a link, and the ways to hand over this one."""

    def __init__(
        self, driver: Path, directory: Path, keep: Callable[[int], int], *program: str | Path
    ) -> None:
        """The programs that are given links are the driver, or *program* with its protocol."""
        self.driver, self.path, self.keep = driver, directory / "broker.sock", keep
        self.program: tuple[str | Path, ...] = program or (driver,)
        self.links: list[Link] = []
        self.memory = keep(memfd(bytes(OFFSET + SIZE)))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.remote = ours
        #: Has whole masks in both directions, as the character device has.
        self.mbox = keep(theirs.detach())
        self.eventfds = {
            name: keep(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            for name in eventfd_names(32)
        }

    def pairs(self, names: list[str]) -> Fds:
        own = {"shmem": self.memory, "mbox": self.mbox, **self.eventfds}
        return [(name, own.get(name, self.memory)) for name in names]

    def in_environment(
        self, document: dict[str, Any] | str | bytes, names: list[str], **environment: str
    ) -> Link:
        """Hand the descriptors over as rslctl run does, the manifest last."""
        fds = [*self.pairs(names), ("manifest", self.keep(memfd(as_bytes(document))))]
        return self.placed(fds, **environment)

    def placed(self, fds: Fds, **environment: str) -> Link:
        link = Link(hand_over(self.driver, fds, *self.program, "link", **environment))
        self.links.append(link)
        return link

    def by_broker(
        self,
        document: dict[str, Any] | str | bytes,
        names: list[str] | None = None,
        piece: int = 4096,
    ) -> Link:
        """Hand over by a socket, in pieces of so many bytes; the names are the manifest's."""
        if names is None:
            names = json.loads(as_bytes(document))["descriptors"]
        with self.broker(as_bytes(document), [fd for _, fd in self.pairs(names)], piece):
            link = Link(spawn([*self.program, "link", self.path], []))
        self.links.append(link)
        return link

    def broker(self, answer: bytes, fds: list[int], piece: int = 4096) -> _Broker:
        return _Broker(self.path, answer, fds, piece)

    def eventfd_link(self, vectors: int = 4, **changes: Any) -> Link:
        names = ["shmem", *eventfd_names(vectors)]
        document = manifest(vectors=vectors, descriptors=names, **changes)
        return self.in_environment(document, names)

    def notify(self, *vectors: int) -> None:
        for n in vectors:
            os.eventfd_write(self.eventfds[f"notify{n}"], 1)


class _Broker:
    """Answers one client on a socket while it is entered."""

    def __init__(self, path: Path, answer: bytes, fds: list[int], piece: int) -> None:
        path.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen()
        self.answer, self.fds, self.piece = answer, fds, piece
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        client, _ = self.server.accept()
        with client:
            first, rest = self.answer[:1], self.answer[1:]
            if first:
                socket.send_fds(client, [first], self.fds)
            try:
                for at in range(0, len(rest), self.piece):
                    client.sendall(rest[at : at + self.piece])
            except BrokenPipeError:
                pass  # the client has seen enough

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.thread.join(timeout=20)
        self.server.close()
