# SPDX-License-Identifier: BSD-3-Clause
"""A server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rslctl.ivshmem import server
from rslctl.ivshmem.peer import Peer

SIZE, VECTORS = 0x40000, 2


@contextlib.contextmanager
def served(path: Path, user: int | None = None, spare: int | None = None) -> Iterator[int]:
    """A server at *path*; the number of its process.

    *user*: without privilege; *spare*: descriptors that it may have beyond those of its start.
    It limits itself: root in a container may lack CAP_SYS_RESOURCE to limit another's process.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                if spare is not None:
                    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                    held = len(os.listdir("/proc/self/fd"))
                    resource.setrlimit(resource.RLIMIT_NOFILE, (held + spare, hard))
                if user is not None:
                    os.setresuid(user, user, user)
                server.Server(server.memory(SIZE), VECTORS, lambda _: None).serve(listener)
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def until(condition: Callable[[], bool], *peers: Peer) -> None:
    """Have peers learn of each other until a condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        for each in peers:
            each.update()
        time.sleep(0.005)
