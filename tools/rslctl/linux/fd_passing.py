# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that one program gives to another.

A program that is started gets them as sd_listen_fds_with_names(3) describes: in numbers from 3 on.
LISTEN_FDS is their count, LISTEN_FDNAMES their names, and LISTEN_PID the process that they are for.
A program that runs gets them over a socket: SCM_RIGHTS of unix(7).
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
from typing import NoReturn

from rslctl.errors import RslError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: The number of the first descriptor.
START = 3

#: The variables that announce the descriptors.
VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES")


class NotGivenError(RslError):
    """This process was given no descriptors."""


def given() -> list[str]:
    """The names of the descriptors that this process was started with, in their order.

    Raises:
        NotGivenError: there are none, or they are for another process.
        RslError: the variables do not fit each other.
    """
    pid, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    text = os.environ.get("LISTEN_FDNAMES")
    if pid is None or count is None or text is None:
        raise NotGivenError(
            "LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not tell of descriptors",
            hint="start it with: rslctl run -- COMMAND",
        )
    if pid != str(os.getpid()):
        raise NotGivenError(
            f"the descriptors are for process {pid}, this is {os.getpid()}",
            hint="a shell that starts the program has to exec it",
        )
    names = text.split(":")
    if count != str(len(names)):
        raise RslError(f"LISTEN_FDNAMES has {len(names)} names for LISTEN_FDS={count}")
    return names


def find(name: str, names: Sequence[str]) -> int | None:
    """The open descriptor of this *name*; None if there is none.

    Raises:
        RslError: there are two of this name.
        OSError: it is not open.
    """
    if name not in names:
        return None
    if names.count(name) > 1:
        raise RslError(f"LISTEN_FDNAMES has {name} twice")
    fd = START + names.index(name)
    fcntl.fcntl(fd, fcntl.F_GETFD)
    return fd


def announcement(names: Iterable[str]) -> dict[str, str]:
    """The variables that announce descriptors of these names to this very process."""
    listed = list(names)
    return {
        "LISTEN_FDS": str(len(listed)),
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDNAMES": ":".join(listed),
    }


def place(fds: Sequence[int], *more: int) -> list[int]:
    """Duplicate *fds* to START and on, for the program that this process becomes.

    Returns where *more*, which stay closed on exec, have been moved to, out of their way.

    Raises:
        OSError: the process cannot open more descriptors.
    """
    behind = START + len(fds)
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, behind) for fd in (*more, *fds)]
    for number, fd in enumerate(copies[len(more) :], START):
        os.dup2(fd, number, inheritable=True)
    return copies[: len(more)]


def spawn(command: Sequence[str], fds: Mapping[str, int]) -> int:
    """Start *command* with the descriptors *fds* by name; return its process id.

    Raises:
        OSError: it cannot be started.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if not pid:
            _become(command, fds, writing)
    finally:
        os.close(writing)
        with open(reading, "rb") as told:
            failed = told.read()
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)), command[0])
    return pid


def _become(command: Sequence[str], fds: Mapping[str, int], parent: int) -> NoReturn:
    """In a child: become *command*, or tell *parent* the errno."""
    try:
        kept = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        (parent,) = place(list(fds.values()), parent)
        os.execvpe(command[0], list(command), kept | announcement(fds))
    except OSError as error:
        os.write(parent, str(error.errno).encode())
    finally:
        os._exit(127)


def receive(sock: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Receive up to *size* bytes, and up to *most* descriptors that came with them.

    socket.recv_fds() drops its flags (Python 3.11): without MSG_CMSG_CLOEXEC a program that another
    thread starts meanwhile would inherit the descriptors.
    """
    fds = array.array("i")
    room = socket.CMSG_SPACE(most * fds.itemsize)
    data, ancillary, _, _ = sock.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    return data, list(fds)
