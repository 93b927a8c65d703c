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

import contextlib
import errno
import json
import mmap
import os
import select
import socket
import struct
import threading
import time
from typing import Any

from rslctl.errors import RslError, os_error
from rslctl.linux import fd_passing, sd_notify
from rslctl.linux.uapi import MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: The version of the manifest that this module reads.
VERSION = 1

#: The largest size of a manifest, in bytes.
_MANIFEST_MAX = 65536
#: The largest number of descriptors: shmem, and two eventfds for each of 32 vectors.
_FDS_MAX = 65
_VECTORS_MAX = 32
#: The descriptors that this module has a use for; later releases may give others.
_KNOWN = {"shmem", "mbox", *(f"{r}{n}" for r in ("notify", "kick") for n in range(_VECTORS_MAX))}

#: Held from the time on that this process has received its link from the environment.
_received_once = threading.Lock()

_COUNT = struct.Struct("=Q")


class NoLinkError(RslError):
    """The process was given no link."""


class ReceivedError(RslError):
    """The process has received its link already."""


class RefusedError(RslError):
    """The broker refused to give the link to this process."""


class GoneError(RslError):
    """The link does not exist any more; its descriptors are useless."""


class ClosedError(RslError):
    """The link is closed."""


def receive(path: str | os.PathLike[str] | None = None) -> Link:
    """Receive the link that this process was given, or ask the broker at the socket *path*.

    Without *path* it succeeds once in a process. The link then owns the descriptors that the
    manifest names; others stay as they are, and the caller's. If it fails, the descriptors of the
    process are as they were before; what came from a broker is closed.

    Raises:
        NoLinkError: the process was given no link.
        ReceivedError: the process has received its link already.
        RefusedError: the broker refused.
        RslError: the broker does not answer, or its answer is not valid.
    """
    return _from_environment() if path is None else _from_broker(path)


def _from_environment() -> Link:
    """Receive a link by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES: sd_listen_fds_with_names(3)."""
    try:
        names = fd_passing.given()
    except fd_passing.NotGivenError as error:
        raise NoLinkError(f"this process was given no link: {error}", hint=error.hint) from error
    if not _received_once.acquire(blocking=False):
        raise ReceivedError("this process has received its link already")
    try:
        return _from_names(names)
    except BaseException:
        _received_once.release()
        raise


def _from_names(names: list[str]) -> Link:
    """Make the link; nothing of the process is changed before all is known to be good."""
    try:
        kept = fd_passing.find("manifest", names)
        if kept is None:
            raise RslError(f"there is no descriptor 'manifest' among {', '.join(names)}")
        manifest = _understood(os.pread(kept, _MANIFEST_MAX + 1, 0))
        found = [(name, fd_passing.find(name, names)) for name in manifest["descriptors"]]
        link = Link._of([(name, fd) for name, fd in found if fd is not None], manifest)
        for fd in link.fds.values():
            os.set_inheritable(fd, False)
        os.close(kept)
    except OSError as error:
        raise os_error("use the descriptors that LISTEN_FDS tells of", error) from error
    return link


def _from_broker(path: str | os.PathLike[str]) -> Link:
    """Receive a link from the broker: read until it closes the connection."""
    data = b""
    got: list[int] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as broker:
            broker.connect(os.fspath(path))
            while True:
                part, fds = fd_passing.receive(broker, _MANIFEST_MAX, _FDS_MAX)
                got += fds
                data += part
                if not part or len(data) > _MANIFEST_MAX:
                    break
        manifest = _understood(data)
        names = manifest["descriptors"]
        if len(names) != len(got):
            raise RslError(f"the broker at '{path}' gave {len(got)} descriptors, not {len(names)}")
        link = Link._of(list(zip(names, got, strict=True)), manifest)
        for fd in {*got} - {*link.fds.values()}:
            os.close(fd)
        return link
    except BaseException as error:
        for fd in got:
            os.close(fd)
        if isinstance(error, OSError):
            raise os_error(
                f"ask the broker at '{path}'", error, hint="is rslctl serve running?"
            ) from error
        raise


def _understood(data: bytes) -> dict[str, Any]:
    """Parse and check a manifest."""
    if len(data) > _MANIFEST_MAX:
        raise RslError(f"the manifest is longer than {_MANIFEST_MAX} bytes")
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
        #: The descriptors by name. They belong to the link: duplicate what you keep for longer.
        self.fds = fds
        #: The parsed manifest.
        self.manifest = manifest
        self.name: str = manifest["link"]
        self.vectors: int = manifest["vectors"]
        self._memory: mmap.mmap | None = None
        self._ignored: set[int] = set()
        self._epoll: select.epoll | None = None
        self._kicks: list[int] = []
        self._notifies: dict[int, int] = {}

    @classmethod
    def _of(cls, pairs: list[tuple[str, int]], manifest: dict[str, Any]) -> Link:
        """The link with those of *pairs* that it has a use for. No descriptor is closed.

        Raises:
            RslError: not all descriptors are there, or the memory cannot be mapped.
        """
        link = cls({}, manifest)
        try:
            for name, fd in pairs:
                if name in link.fds:
                    raise RslError(f"the manifest names descriptor {name} twice")
                if name in _KNOWN:
                    link.fds[name] = fd
            link._map()
            link._watch()
        except BaseException:
            link.fds = {}
            link.close()
            raise
        return link

    def _map(self) -> None:
        memory = self.manifest.get("memory")
        if (memory is None) == ("shmem" in self.fds):
            have = "no memory" if memory is None else "memory"
            what = "descriptor shmem" if memory is None else "no descriptor shmem"
            raise RslError(f"{what}, the manifest has {have}")
        if memory is None:
            return
        try:
            self._memory = mmap.mmap(self.fds["shmem"], memory["size"], offset=memory["offset"])
        except OSError as error:
            raise os_error(f"map the memory of link {self.name!r}", error) from error
        except (ValueError, OverflowError) as error:
            raise RslError(f"link {self.name!r} has no such memory: {error}") from error

    def _watch(self) -> None:
        """Have what to wait with and to kick with."""
        if "mbox" in self.fds:
            # Another may read between poll() and read() of wait().
            os.set_blocking(self.fds["mbox"], False)
            return
        for kind in ("notify", "kick"):
            for n in range(self.vectors):
                if f"{kind}{n}" not in self.fds:
                    raise RslError(
                        f"descriptor mbox is missing, or {kind}{n} of {self.vectors} vectors"
                    )
        self._kicks = [self.fds[f"kick{n}"] for n in range(self.vectors)]
        self._notifies = {self.fds[f"notify{n}"]: n for n in range(self.vectors)}
        self._epoll = select.epoll()
        for fd in self._notifies:
            self._epoll.register(fd, select.EPOLLIN)
        if "shmem" in self.fds:
            with contextlib.suppress(PermissionError):  # a memfd cannot be polled
                self._epoll.register(self.fds["shmem"], 0)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the memory, and close the link's descriptors and no other."""
        if self._memory:
            with contextlib.suppress(BufferError):  # a memoryview of it still exists
                self._memory.close()
        if self._epoll:
            self._epoll.close()
        for fd in self.fds.values():
            os.close(fd)
        self.fds, self._kicks, self._notifies = {}, [], {}
        self._memory = self._epoll = None

    def _check_open(self) -> None:
        if not self.fds:
            raise ClosedError(f"link {self.name!r} is closed")

    def _check(self, vectors: Sequence[int]) -> None:
        self._check_open()
        for vector in vectors:
            if not 0 <= vector < self.vectors:
                raise ValueError(
                    f"link {self.name!r} has vectors 0 to {self.vectors - 1}: {vector}"
                )

    @property
    def memory(self) -> mmap.mmap:
        """The mapping of the shared memory.

        Raises:
            ClosedError: the link is closed.
            RslError: the link has no shared memory.
        """
        self._check_open()
        if self._memory is None:
            raise RslError(f"link {self.name!r} has no shared memory")
        return self._memory

    def fileno(self) -> int:
        """The descriptor to poll for reading.

        Once the link is gone it stays readable, and :meth:`wait` raises each time: take it out of
        the event loop then, as tools/examples/asyncio_daemon.py does.

        Raises:
            ClosedError: the link is closed.
        """
        self._check_open()
        return self._epoll.fileno() if self._epoll else self.fds["mbox"]

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
            ValueError: the link does not have a vector of this number. None is kicked then.
            GoneError: the link does not exist any more.
            ClosedError: the link is closed.
        """
        self._check(vectors)
        if self._kicks:
            for vector in vectors:
                with contextlib.suppress(BlockingIOError):  # counter full: a kick is pending
                    os.write(self._kicks[vector], _COUNT.pack(1))
            return
        try:
            os.write(self.fds["mbox"], MASK.pack(sum(1 << vector for vector in {*vectors})))
        except OSError as error:
            raise self._gone(error) from error

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a notification; return the vectors notified since the last call, ascending.

        *timeout* is in seconds; None waits forever. The list is empty after a timeout. Of several
        threads or processes that wait with the same descriptors, one is told of a notification,
        and each keeps its timeout.

        Raises:
            GoneError: the link does not exist any more.
            ClosedError: the link is closed.
        """
        self._check_open()
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
        return self._look_at_mbox(self.fds["mbox"], timeout)

    def _look_at_mbox(self, mbox: int, timeout: float | None) -> list[int]:
        poll = select.poll()
        poll.register(mbox, select.POLLIN)
        found = poll.poll(None if timeout is None else timeout * 1000)
        if not found:
            return []
        if not found[0][1] & select.POLLIN:
            raise self._gone(OSError(errno.ENODEV, ""))
        try:
            (mask,) = MASK.unpack(os.read(mbox, MASK.size))
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._gone(error) from error
        return [n for n in range(self.vectors) if mask >> n & 1 and n not in self._ignored]

    def ignore(self, *vectors: int) -> None:
        """Leave *vectors*, and no others, out of :meth:`wait`, because another has them.

        For a vector whose eventfd a vhost worker was given, or that another process handles. With
        eventfds, a notification stays in its eventfd for who reads it. With ``mbox`` the kernel
        tells every open file, so :meth:`wait` drops it, also for processes that share this very
        file.

        Raises:
            ValueError: the link does not have a vector of this number. Nothing changes then.
            ClosedError: the link is closed.
        """
        self._check(vectors)
        if self._epoll:
            for fd, vector in self._notifies.items():
                if vector in {*vectors} - self._ignored:
                    self._epoll.unregister(fd)
                elif vector in self._ignored - {*vectors}:
                    self._epoll.register(fd, select.EPOLLIN)
        self._ignored = {*vectors}

    def spawn(self, command: Sequence[str]) -> int:
        """Start *command*, which has the link, too; return its process id, for os.waitpid().

        The child finds the link in its environment as under "rslctl run", in descriptors from 3 on.
        Both processes have the same open files: what one waits for, the other is not told. Close
        the link if it is the child's from now on, or ignore the vectors that are the child's.

        Raises:
            OSError: the command cannot be executed.
            ClosedError: the link is closed.
        """
        self._check_open()
        with open(os.memfd_create("rsl-manifest"), "wb", buffering=0) as manifest:
            os.pwrite(manifest.fileno(), json.dumps(self.manifest).encode(), 0)
            return fd_passing.spawn(command, {**self.fds, "manifest": manifest.fileno()})

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
