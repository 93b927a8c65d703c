# SPDX-License-Identifier: BSD-3-Clause
"""Files that a daemon gets open beside its link, as by OpenFile= of systemd.service(5)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rslctl.daemon import manifest
from rslctl.errors import RslError, UsageError, os_error
from rslctl.linux.uapi import MAX_VECTORS

_OPTIONS = {"read-only", "append", "truncate", "graceful"}

#: The names of a link's descriptors.
LINK_NAMES = (
    *("shmem", "mbox", manifest.NAME),
    *(f"{ring}{vector}" for ring in ("notify", "kick") for vector in range(MAX_VECTORS)),
)

#: The longest name that systemd takes, in bytes.
_NAME_MAX = 255


@dataclass(frozen=True)
class OpenFile:
    """A file to open, and the name of its descriptor."""

    path: str
    name: str
    options: frozenset[str] = frozenset()


def parse(texts: Sequence[str]) -> list[OpenFile]:
    """The files of PATH:NAME[:OPTION,...]. PATH may have colons.

    Raises:
        UsageError: one is not of this form, or has a name that is taken.
    """
    found: list[OpenFile] = []
    for text in texts:
        path, _, name = text.rpartition(":")
        options: set[str] = set()
        if ":" in path and {*name.split(",")} <= _OPTIONS:
            options = {*name.split(",")}
            path, _, name = path.rpartition(":")
        if not path or not name:
            raise UsageError(
                f"--open {text!r} is not PATH:NAME[:OPTION,...]",
                hint="as --open /dev/vhost-vsock:vhost-vsock; the options are "
                + ", ".join(sorted(_OPTIONS)),
            )
        if not (name.isascii() and name.isprintable() and len(name) <= _NAME_MAX):
            raise UsageError(f"--open {text!r}: {name!r} cannot be a descriptor's name")
        if name in LINK_NAMES:
            raise UsageError(f"--open {text!r}: {name!r} is a descriptor of the link")
        if name in {each.name for each in found}:
            raise UsageError(f"--open: {name!r} is named twice")
        found.append(OpenFile(path, name, frozenset(options)))
    return found


@contextlib.contextmanager
def opened(files: Sequence[OpenFile]) -> Iterator[dict[str, int]]:
    """Open *files*; the descriptors by name, as long as the context is entered.

    Raises:
        RslError: one cannot be opened, and is not "graceful".
    """
    fds: dict[str, int] = {}
    try:
        for each in files:
            try:
                fds[each.name] = _open(each)
            except OSError as error:
                if "graceful" not in each.options:
                    raise _failed(each, error) from error
        yield fds
    finally:
        for fd in fds.values():
            os.close(fd)


def _failed(file: OpenFile, error: OSError) -> RslError:
    return os_error(f"open '{file.path}' for the daemon", error)


def _open(file: OpenFile) -> int:
    if stat.S_ISSOCK(os.stat(file.path).st_mode):
        return _connect(file.path)
    flags = os.O_RDONLY if "read-only" in file.options else os.O_RDWR
    flags |= os.O_APPEND if "append" in file.options else 0
    flags |= os.O_TRUNC if "truncate" in file.options else 0
    # A FIFO, or a serial line, might let open() wait for its other end.
    fd = os.open(file.path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(fd, True)
    return fd


def _connect(path: str) -> int:
    """Connect to a Unix socket of any kind."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as sock:
            try:
                sock.connect(path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE or kind == socket.SOCK_DGRAM:
                    raise
            else:
                return sock.detach()
    raise AssertionError(path)
