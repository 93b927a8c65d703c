# SPDX-License-Identifier: BSD-3-Clause
"""For authors of daemons: the link that a process was given, by whichever way.

::

    from rslctl import client

    with client.receive() as link:
        link.memory[0:5] = b"hello"
        link.ready()
        link.kick(0)
        print(link.wait(timeout=5))

``receive()`` takes what "rslctl run" or a unit gave the process, ``receive(path)`` what the
broker at that socket gives. A link of real hardware and one that two programs play are used
alike. What the descriptors and the manifest are: docs/daemon.md.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import select
import socket
import struct
from typing import Any

from rslctl.errors import RslError, os_error
from rslctl.uapi import MASK

#: The version of manifests that is understood.
VERSION = 1

#: The most that a manifest may be, in bytes.
_MANIFEST_MAX = 65536
#: shmem, and two eventfds for each of 32 vectors.
_FDS_MAX = 65
_FIRST_FD = 3

_COUNT = struct.Struct("=Q")


class NoLinkError(RslError):
    """The process was given no link."""


class RefusedError(RslError):
    """The broker does not give the link to this process."""


class GoneError(RslError):
    """The link is not there any more; its descriptors are of no use."""


def receive(path: str | os.PathLike[str] | None = None) -> Link:
    """The link that this process was given, or that the broker at the socket *path* gives.

    Raises:
        NoLinkError: the process was given none.
        RefusedError: the broker says no.
        RslError: the broker is not there, or what it gives is not understood.
    """
    return _from_environment() if path is None else _from_broker(path)


def _from_environment() -> Link:
    """By LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES: sd_listen_fds_with_names(3)."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or count != str(len(names)):
        raise NoLinkError(
            "this process was given no link: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not "
            "tell of one",
            hint="start it with: rslctl run -- COMMAND",
        )
    fds = {name: _FIRST_FD + at for at, name in enumerate(names)}
    for fd in fds.values():
        os.set_inheritable(fd, False)
    if "manifest" not in fds:
        raise NoLinkError(f"there is no descriptor 'manifest' among {', '.join(names)}")
    return Link(fds, _understood(os.pread(fds["manifest"], _MANIFEST_MAX, 0)))


def _from_broker(path: str | os.PathLike[str]) -> Link:
    data = b""
    got: list[int] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as broker:
            broker.connect(os.fspath(path))
            while True:
                part, fds, _, _ = socket.recv_fds(broker, _MANIFEST_MAX, _FDS_MAX)
                got += fds
                if not part:
                    break
                data += part
        manifest = _understood(data)
        names = manifest["descriptors"]
        if len(names) != len(got):
            raise RslError(f"the broker at '{path}' gave {len(got)} descriptors, not {len(names)}")
        for fd in got:
            os.set_inheritable(fd, False)
        return Link(dict(zip(names, got, strict=True)), manifest)
    except BaseException as error:
        for fd in got:
            os.close(fd)
        if isinstance(error, OSError):
            raise os_error(
                f"ask the broker at '{path}'", error, hint="is rslctl serve running?"
            ) from error
        raise


def _understood(data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
        version = manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RslError(f"the manifest is not understood: {error}") from error
    if version != VERSION:
        raise RslError(
            f"the manifest has version {version}, this library knows {VERSION}",
            hint="have rslctl and its client from one release",
        )
    if "error" in manifest:
        raise RefusedError(str(manifest["error"]))
    return dict(manifest)


class Link:
    """A link that this process was given; usable in ``with`` and in ``select``.

    It is readable for ``select`` when :meth:`wait` would return at once.
    """

    def __init__(self, fds: dict[str, int], manifest: dict[str, Any]) -> None:
        #: The descriptors by name, and what the manifest says.
        self.fds = fds
        self.manifest = manifest
        self.name: str = manifest["link"]
        self.vectors: int = manifest["vectors"]
        self._memory: mmap.mmap | None = None
        self._kicks = [fds[f"kick{n}"] for n in range(self.vectors) if f"kick{n}" in fds]
        self._notifies = {fds[f"notify{n}"]: n for n in range(self.vectors) if f"notify{n}" in fds}
        self._epoll = select.epoll() if self._notifies else None
        if self._epoll:
            for fd in self._notifies:
                self._epoll.register(fd, select.EPOLLIN)
            if "shmem" in fds:
                with contextlib.suppress(PermissionError):  # a file in memory has no end
                    self._epoll.register(fds["shmem"], 0)
        if manifest["memory"]:
            memory = manifest["memory"]
            try:
                self._memory = mmap.mmap(fds["shmem"], memory["size"], offset=memory["offset"])
            except OSError as error:
                raise os_error(f"map the memory of link {self.name!r}", error) from error

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the memory and close the descriptors."""
        if self._memory:
            with contextlib.suppress(BufferError):  # somebody has a view of it still
                self._memory.close()
        if self._epoll:
            self._epoll.close()
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}

    @property
    def memory(self) -> mmap.mmap:
        """The shared memory, from its first byte on.

        Raises:
            RslError: the link has none.
        """
        if self._memory is None:
            raise RslError(f"link {self.name!r} has no shared memory")
        return self._memory

    def fileno(self) -> int:
        return self._epoll.fileno() if self._epoll else self.fds["mbox"]

    def ready(self) -> None:
        """Tell whoever started this process that it is ready for the remote: sd_notify(3)."""
        address = os.environ.get("NOTIFY_SOCKET")
        if not address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect("\0" + address[1:] if address[0] == "@" else address)
            manager.send(b"READY=1")

    def kick(self, *vectors: int) -> None:
        """Notify the other side on *vectors*. Never blocks: kicks of a vector coalesce.

        Raises:
            ValueError: there is no such vector.
            GoneError: the link is not there any more.
        """
        for vector in vectors:
            if not 0 <= vector < self.vectors:
                raise ValueError(
                    f"link {self.name!r} has vectors 0 to {self.vectors - 1}: {vector}"
                )
        if self._kicks:
            for vector in vectors:
                with contextlib.suppress(BlockingIOError):  # as many as it can count
                    os.write(self._kicks[vector], _COUNT.pack(1))
            return
        try:
            os.write(self.fds["mbox"], MASK.pack(sum(1 << vector for vector in {*vectors})))
        except OSError as error:
            raise self._gone(error) from error

    def wait(self, timeout: float | None = None) -> list[int]:
        """The vectors that the other side has notified since the last call, ascending.

        Waits until there is one, for *timeout* seconds at most; empty when there was none.

        Raises:
            GoneError: the link is not there any more.
        """
        # The system calls take their milliseconds as an int.
        timeout = None if timeout is None else min(timeout, 2**31 // 1000)
        if self._epoll:
            ready = {fd for fd, _ in self._epoll.poll(timeout, self.vectors + 1)}
            found = sorted(n for fd, n in self._notifies.items() if fd in ready and _take(fd))
            if ready and not found and self.fds.get("shmem") in ready:
                raise self._gone(OSError(errno.ENODEV, ""))
            return found
        poll = select.poll()
        poll.register(self.fds["mbox"], select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return []
        try:
            (mask,) = MASK.unpack(os.read(self.fds["mbox"], MASK.size))
        except OSError as error:
            raise self._gone(error) from error
        return [n for n in range(self.vectors) if mask >> n & 1]

    def _gone(self, error: OSError) -> RslError:
        if error.errno == errno.ENODEV:
            return GoneError(f"link {self.name!r} went away", hint="rslctl setup brings it back")
        return os_error(f"use link {self.name!r}", error)


def _take(eventfd: int) -> bool:
    """Take what an eventfd has counted; False if another process was quicker."""
    try:
        os.read(eventfd, _COUNT.size)
    except BlockingIOError:
        return False
    return True
