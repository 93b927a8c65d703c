# SPDX-License-Identifier: BSD-3-Clause
"""The interface for daemons in Python: receive a link, map its memory, wait and kick.

::

    from rslctl import client

    with client.receive() as link:
        link.memory[0:5] = b"hello"
        link.ready()
        link.kick(0)
        print(link.wait(timeout=5))

``receive()`` receives the link that "rslctl run" or a unit gave to the process.
``receive(path)`` receives a link from the broker at the socket *path*. A link of real hardware
and a simulated link are used alike. docs/reference/daemon.md describes the descriptors and the
manifest.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import mmap
import os
import select
import socket
import struct
import time
from typing import Any

from rslctl.errors import RslError, os_error
from rslctl.linux import sd_notify
from rslctl.linux.uapi import MASK

#: The version of the manifest that this module reads.
VERSION = 1

#: The largest size of a manifest, in bytes.
_MANIFEST_MAX = 65536
#: The largest number of descriptors: shmem, and two eventfds for each of 32 vectors.
_FDS_MAX = 65
_VECTORS_MAX = 32
_FIRST_FD = 3

_COUNT = struct.Struct("=Q")


class NoLinkError(RslError):
    """The process was given no link."""


class RefusedError(RslError):
    """The broker refused to give the link to this process."""


class GoneError(RslError):
    """The link does not exist any more; its descriptors are useless."""


def receive(path: str | os.PathLike[str] | None = None) -> Link:
    """Receive the link that this process was given, or ask the broker at the socket *path*.

    Raises:
        NoLinkError: the process was given no link.
        RefusedError: the broker refused.
        RslError: the broker does not answer, or its answer is not valid.
    """
    return _from_environment() if path is None else _from_broker(path)


def _from_environment() -> Link:
    """Receive a link by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES: sd_listen_fds_with_names(3)."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or count != str(len(names)):
        raise NoLinkError(
            "this process was given no link: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not "
            "tell of one",
            hint="start it with: rslctl run -- COMMAND",
        )
    fds = {name: _FIRST_FD + at for at, name in enumerate(names)}
    if "manifest" not in fds:
        raise NoLinkError(f"there is no descriptor 'manifest' among {', '.join(names)}")
    try:
        for fd in fds.values():
            os.set_inheritable(fd, False)
        data = os.pread(fds["manifest"], _MANIFEST_MAX, 0)
    except OSError as error:
        raise os_error("use the descriptors that LISTEN_FDS tells of", error) from error
    return Link(fds, _understood(data))


def _from_broker(path: str | os.PathLike[str]) -> Link:
    """Receive a link from the broker: read until it closes the connection."""
    data = b""
    got: list[int] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as broker:
            broker.connect(os.fspath(path))
            while True:
                part, fds = _received(broker)
                got += fds
                data += part
                if not part or len(data) > _MANIFEST_MAX:
                    break
        manifest = _understood(data)
        names = manifest["descriptors"]
        if len(names) != len(got):
            raise RslError(f"the broker at '{path}' gave {len(got)} descriptors, not {len(names)}")
        return Link(dict(zip(names, got, strict=True)), manifest)
    except BaseException as error:
        for fd in got:
            os.close(fd)
        if isinstance(error, OSError):
            raise os_error(
                f"ask the broker at '{path}'", error, hint="is rslctl serve running?"
            ) from error
        raise


def _received(broker: socket.socket) -> tuple[bytes, list[int]]:
    """A part of the broker's answer, and the descriptors that came with it.

    socket.recv_fds() drops its flags (Python 3.11): without MSG_CMSG_CLOEXEC a program that another
    thread starts meanwhile would inherit the descriptors.
    """
    fds = array.array("i")
    room = socket.CMSG_SPACE(_FDS_MAX * fds.itemsize)
    data, ancillary, _, _ = broker.recvmsg(_MANIFEST_MAX, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    return data, list(fds)


def _understood(data: bytes) -> dict[str, Any]:
    """Parse and check a manifest."""
    try:
        manifest = json.loads(data)
        version = manifest["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RslError(f"the manifest is not understood: {error}") from error
    if version != VERSION:
        raise RslError(
            f"the manifest has version {version}, this library knows {VERSION}",
            hint="have rslctl and its client from one release",
        )
    if "error" in manifest:
        raise RefusedError(str(manifest["error"]))
    memory = manifest.get("memory")
    sizes = [memory.get(key) for key in ("base", "size", "offset")] if _is(memory, dict) else []
    names = manifest.get("descriptors")
    if not (
        _is(manifest.get("link"), str)
        and _is(manifest.get("vectors"), int)
        and 1 <= manifest["vectors"] <= _VECTORS_MAX
        and (memory is None or all(_is(each, int) and 0 <= each < 2**63 for each in sizes))
        and _is(names, list)
        and all(_is(each, str) for each in names)
    ):
        raise RslError("the manifest is not understood: link, vectors, memory or descriptors")
    return dict(manifest)


def _is(value: object, kind: type) -> bool:
    """Return whether *value* is of *kind*; a bool is not an int here."""
    return isinstance(value, kind) and not isinstance(value, bool)


class Link:
    """A link that this process was given; usable in ``with`` and in ``select``.

    ``select`` reports it as readable when :meth:`wait` would return at once.
    """

    def __init__(self, fds: dict[str, int], manifest: dict[str, Any]) -> None:
        #: The descriptors by name.
        self.fds = fds
        #: The parsed manifest.
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
                with contextlib.suppress(PermissionError):  # a memfd cannot be polled
                    self._epoll.register(fds["shmem"], 0)
        if manifest["memory"]:
            memory = manifest["memory"]
            try:
                self._memory = mmap.mmap(fds["shmem"], memory["size"], offset=memory["offset"])
            except OSError as error:
                raise os_error(f"map the memory of link {self.name!r}", error) from error
            except (KeyError, ValueError, OverflowError) as error:
                raise RslError(f"link {self.name!r} has no such memory: {error}") from error

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the memory and close the descriptors."""
        if self._memory:
            with contextlib.suppress(BufferError):  # a memoryview of it still exists
                self._memory.close()
        if self._epoll:
            self._epoll.close()
        for fd in self.fds.values():
            os.close(fd)
        self.fds, self._kicks, self._notifies = {}, [], {}
        self._memory = self._epoll = None

    def _mbox(self) -> int:
        if "mbox" not in self.fds:
            raise RslError(f"link {self.name!r} is closed, or has no descriptor 'mbox'")
        return self.fds["mbox"]

    @property
    def memory(self) -> mmap.mmap:
        """The mapping of the shared memory.

        Raises:
            RslError: the link has no shared memory, or is closed.
        """
        if self._memory is None:
            raise RslError(f"link {self.name!r} has no shared memory")
        return self._memory

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._epoll.fileno() if self._epoll else self._mbox()

    def ready(self) -> None:
        """Tell the service manager that this process is ready for the remote: sd_notify(3).

        Does nothing where NOTIFY_SOCKET is not set.
        """
        manager = sd_notify.address()
        if manager:
            sd_notify.send(manager, "READY=1")

    def kick(self, *vectors: int) -> None:
        """Kick the other side on *vectors*. Never blocks: kicks of one vector coalesce.

        Raises:
            ValueError: the link does not have a vector of this number.
            GoneError: the link does not exist any more.
        """
        for vector in vectors:
            if not 0 <= vector < self.vectors:
                raise ValueError(
                    f"link {self.name!r} has vectors 0 to {self.vectors - 1}: {vector}"
                )
        if self._kicks:
            for vector in vectors:
                with contextlib.suppress(BlockingIOError):  # counter full: a kick is pending
                    os.write(self._kicks[vector], _COUNT.pack(1))
            return
        mbox = self._mbox()
        try:
            os.write(mbox, MASK.pack(sum(1 << vector for vector in {*vectors})))
        except OSError as error:
            raise self._gone(error) from error

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a notification; return the vectors notified since the last call, ascending.

        *timeout* is in seconds; None waits forever. The list is empty after a timeout.

        Raises:
            GoneError: the link does not exist any more.
        """
        deadline = None if timeout is None else time.monotonic() + max(0, timeout)
        while True:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            # The system calls have an int of milliseconds as their timeout.
            found = self._look(None if left is None else min(left, 2**31 // 1000))
            if found or left == 0:
                return found

    def _look(self, timeout: float | None) -> list[int]:
        """Wait once; return the notified vectors, none if another thread read them first."""
        if self._epoll:
            ready = {fd for fd, _ in self._epoll.poll(timeout, self.vectors + 1)}
            found = sorted(n for fd, n in self._notifies.items() if fd in ready and _take(fd))
            if ready and not found and self.fds.get("shmem") in ready:
                raise self._gone(OSError(errno.ENODEV, ""))
            return found
        mbox = self._mbox()
        poll = select.poll()
        poll.register(mbox, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return []
        try:
            (mask,) = MASK.unpack(os.read(mbox, MASK.size))
        except OSError as error:
            raise self._gone(error) from error
        return [n for n in range(self.vectors) if mask >> n & 1]

    def _gone(self, error: OSError) -> RslError:
        """Make the error to raise for *error* of a descriptor."""
        if error.errno == errno.ENODEV:
            return GoneError(f"link {self.name!r} went away", hint="rslctl setup brings it back")
        return os_error(f"use link {self.name!r}", error)


def _take(eventfd: int) -> bool:
    """Read and clear the counter of an eventfd; False if another process read it first."""
    try:
        os.read(eventfd, _COUNT.size)
    except BlockingIOError:
        return False
    return True
