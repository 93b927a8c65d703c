# SPDX-License-Identifier: BSD-3-Clause
"""A broker whose links are played, and programs that play one."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.daemon import broker, descriptors
from rslctl.linux import listening
from rslctl.profile import reader
from rslctl.profile.model import Access

from tests.command_line import TOOLS

BOARD = reader.load("sim")
#: Of one vector, so that hundreds of answers have fewer descriptors than a user without privilege
#: may have under way (RLIMIT_NOFILE, often 1024).
LINK = dataclasses.replace(BOARD.links[0], sim=1)


def played() -> descriptors.Offer:
    """A link's descriptors, without hardware."""
    daemon, remote = descriptors.of_programs(BOARD, LINK)
    remote.close()
    os.close(daemon.fds.pop("manifest"))
    return daemon


def serving_played(offers: Callable[[], descriptors.Offer] = played) -> broker.Broker:
    """A broker that gives the link to root and to this user."""
    return broker.Broker("rpu0", offers, Access, print, print)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: S103 - for the wrong user
        yield Path(directory, "rpu0.sock")


def start_broker(path: Path) -> int:
    """Have a broker in a process of its own, whose number is returned."""
    pid = os.fork()
    if not pid:
        with listening.until_told_to_end(), listening.listening(path, 0o666) as listener:
            broker.serve(serving_played(), listener)
        os._exit(0)
    deadline = time.monotonic() + 10
    while not connects(path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


@pytest.fixture
def serving(path: Path) -> Iterator[int]:
    """The number of a broker's process."""
    pid = start_broker(path)
    yield pid
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0
    assert not path.exists()


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        return not attempt.connect_ex(str(path))


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def open_descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


PLAY = (sys.executable, "-m", "rslctl", "run", "--board", "sim", "--remote")
ENV = {**os.environ, "PYTHONPATH": str(TOOLS)}


def program(directory: Path, name: str, text: str) -> str:
    path = directory / f"{name}.py"
    path.write_text("import os, signal, sys, time\nfrom rslctl import client\n")
    with path.open("a") as file:
        file.write(textwrap.dedent(text))
    return f"{sys.executable} {path}"


def start_playing(remote: str, daemon: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PLAY, remote, *options, "--", *daemon.split()],
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def play(remote: str, daemon: str, *options: str) -> tuple[int, str, str]:
    running = start_playing(remote, daemon, *options)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in map(int, listed) if "sleep" in Path(f"/proc/{each}/comm").read_text()]
