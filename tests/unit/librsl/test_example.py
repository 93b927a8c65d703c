# SPDX-License-Identifier: BSD-3-Clause
"""The daemons to start from."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import TOOLS
from tests.unit import REPOSITORY
from tests.unit.librsl.support import (
    EXAMPLE,
    SIZE,
    World,
    as_bytes,
    built,
    eventfd_names,
    hand_over,
    manifest,
    memfd,
    spawn,
)

ASYNCIO_EXAMPLE = REPOSITORY / "tools/examples/asyncio_daemon.py"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(EXAMPLE, tmp_path_factory.mktemp("example"))


class TestExample:
    """The daemon to start from."""

    @staticmethod
    def answers(process: subprocess.Popen[str], world: World) -> None:
        """It answers on all vectors, and says how many at its end."""
        assert process.stdout
        expected = f"daemon: link rpu0, 4 vectors, {SIZE} bytes of memory\n"
        assert process.stdout.readline() == expected
        for n in (0, 3, 1, 2, 2):
            world.notify(n)
            kicked = world.eventfds[f"kick{n}"]
            os.set_blocking(kicked, True)
            assert os.eventfd_read(kicked) == 1
            os.set_blocking(kicked, False)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "daemon: answered 5 notifications\n", "")

    def test_it_answers_under_rslctl_run(self, world: World, example: Path, tmp_path: Path) -> None:
        names = ["shmem", *eventfd_names(4)]
        document = as_bytes(manifest(descriptors=[*names, "manifest"]))
        fds = [*world.pairs(names), ("manifest", world.keep(memfd(document)))]
        path = str(tmp_path / "notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            process = hand_over(world.driver, fds, example, NOTIFY_SOCKET=path)
            self.answers(process, world)
            assert manager.recv(100) == b"READY=1"

    def test_it_answers_with_a_broker(self, world: World, example: Path) -> None:
        names = ["shmem", *eventfd_names(4)]
        answer = as_bytes(manifest(descriptors=names))
        with world.broker(answer, [fd for _, fd in world.pairs(names)]):
            process = spawn([example, world.path], [])
        self.answers(process, world)

    def test_it_says_that_it_has_no_link(self, example: Path) -> None:
        process = spawn([example], [])
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (1, "")
        assert err == "daemon: no link: no descriptors in the environment: use rslctl run\n"

    def test_it_ends_when_the_link_goes(self, world: World, example: Path) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(world.keep(reading), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        document = world.keep(memfd(as_bytes(manifest(memory=None, descriptors=["mbox"]))))
        process = hand_over(world.driver, [("mbox", reading), ("manifest", document)], example)
        os.close(writing)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (1, f"daemon: rpu0: {os.strerror(errno.ENODEV)}\n")
        assert out.splitlines()[0] == "daemon: link rpu0, 4 vectors, 0 bytes of memory"


class TestAsyncio:
    """The daemon with asyncio; a pipe or a socket plays the character device."""

    @staticmethod
    def start(world: World, mbox: int) -> subprocess.Popen[str]:
        document = world.keep(memfd(as_bytes(manifest(memory=None, descriptors=["mbox"]))))
        fds = [("mbox", mbox), ("manifest", document)]
        program = (sys.executable, ASYNCIO_EXAMPLE)
        return hand_over(world.driver, fds, *program, PYTHONPATH=str(TOOLS))

    def test_it_answers(self, world: World) -> None:
        process = self.start(world, world.mbox)
        for mask in (b"\1\0\0\0", b"\x0e\0\0\0"):
            world.remote.send(mask)
            assert world.remote.recv(8) == mask
        process.terminate()
        assert process.communicate(timeout=20) == ("", "")

    def test_a_link_that_goes_away_ends_it(self, world: World) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(world.keep(reading), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        process = self.start(world, reading)
        os.close(writing)
        assert process.communicate(timeout=20) == ("", "link 'rpu0' went away\n")
        assert process.returncode == 1
