# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's ivshmem for emulated machines: a server, and a program that is the remote."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.amp.machine import REPOSITORY, python
from tests.amp.say import die

#: Those of the profile tools/rslctl/profile/boards/ivshmem.toml.
SIZE, VECTORS = 0x400000, 4


@contextlib.contextmanager
def served(*, remote: bool = True) -> Iterator[Path]:
    """The socket of a server, which ends with the block; perhaps with a remote."""
    with tempfile.TemporaryDirectory(prefix="rsl-") as directory, contextlib.ExitStack() as stack:
        path = Path(directory, "ivshmem.sock")
        options = ("--size", SIZE, "--vectors", VECTORS)
        stack.enter_context(_running("-m", "rslctl", "ivshmem-server", path, *options))
        deadline = time.monotonic() + 30
        while not path.exists():
            if time.monotonic() > deadline:
                die("the ivshmem server does not start")
            time.sleep(0.05)
        if remote:
            program = REPOSITORY / "tests/amp/ivshmem_remote.py"
            stack.enter_context(_running(program, path, VECTORS))
        yield path


@contextlib.contextmanager
def _running(*arguments: object) -> Iterator[None]:
    """A Python program of this checkout, until the end of the block."""
    command = [
        *("env", f"PYTHONPATH={REPOSITORY / 'tools'}", str(python())),
        *map(str, arguments),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def emulator(path: Path, number: int = 0) -> tuple[str, ...]:
    """The arguments of QEMU for the device of the server at *path*."""
    return (
        *("-chardev", f"socket,path={path},id=ivshmem{number}"),
        *("-device", f"ivshmem-doorbell,chardev=ivshmem{number},vectors={VECTORS}"),
    )
