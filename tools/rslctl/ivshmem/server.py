# SPDX-License-Identifier: BSD-3-Clause
"""An ivshmem server: it gives the machines of a link the memory, and each the others' eventfds.

It plays no part after that: machines notify each other by the eventfds. It waits for no client.
What a client does not read waits here. Of machines that come and go meanwhile it is told nothing:
no more waits than there are machines, and than its socket had room for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rslctl.errors import RslError, os_error
from rslctl.ivshmem import messages
from rslctl.linux import ivshmem
from rslctl.linux.uapi import MAX_VECTORS

#: The least memory of a link in bytes, of which the table of IDs has a half; the most of a file.
SIZE_MIN, SIZE_MAX = 2 * ivshmem.TABLE_SIZE, 1 << 62

#: Seconds until what found no room is tried again.
_LATER = 1.0
#: What the system says if descriptors or memory are short.
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)

#: F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW: a machine that changes the size of the memory would
#: have the others end by SIGBUS.
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def memory(size: int) -> int:
    """A descriptor of new shared memory, which the caller closes; *size* is in bytes.

    Raises:
        RslError: *size* is not that of a PCI device's memory, or there is no such memory.
    """
    if not SIZE_MIN <= size <= SIZE_MAX or size & (size - 1):
        raise RslError(
            f"{size} bytes of shared memory are not a power of two from {SIZE_MIN} to {SIZE_MAX}"
        )
    try:
        fd = os.memfd_create("ivshmem", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        raise os_error(f"make {size} bytes of shared memory", error) from error
    return fd


@dataclass(eq=False)
class _Client:
    """A machine, or a program, that is connected."""

    number: int
    sock: socket.socket
    #: An eventfd for each of its vectors, which notify it.
    rings: list[int]
    #: The messages for it that wait: a number, and the client whose vector comes with it.
    waiting: deque[tuple[int, _Client | None, int]] = field(default_factory=deque)
    #: The clients that it has been told of, in part at least.
    told: set[_Client] = field(default_factory=set)
    gone: bool = False


class Server:
    """The clients of a link."""

    def __init__(self, memory: int, vectors: int, note: Callable[[str], None]) -> None:
        """*memory* is a descriptor; *note* is told who comes and goes.

        Raises:
            RslError: *vectors* is not 1 to 32.
        """
        if not 1 <= vectors <= MAX_VECTORS:
            raise RslError(f"{vectors} vectors are not 1 to {MAX_VECTORS}")
        self._memory = memory
        self._vectors = vectors
        self._note = note
        self._clients: dict[int, _Client] = {}
        self._next = 0
        #: Clients that cannot be reached any more, and those that are tried again later.
        self._lost: list[_Client] = []
        self._later: set[_Client] = set()
        #: Until when no more clients are accepted, because descriptors are short, by the monotonic
        #: clock; whether that was said.
        self._full: float | None = None
        self._said = False
        self._selector = selectors.DefaultSelector()

    def serve(self, listener: socket.socket) -> None:
        """Serve the clients that connect, for ever.

        Raises:
            RslError: the socket does not accept connections any more.
        """
        listener.setblocking(False)
        try:
            self._selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, events in self._selector.select(self._pause()):
                    if key.fileobj is listener:
                        self._accept(listener)
                    elif events & selectors.EVENT_READ:
                        self._lost.append(key.data)
                    else:
                        self._send(key.data)
                again, self._later = self._later, set()
                for client in again:
                    self._send(client)
                # To tell the others of one that has gone may show more that have.
                while self._lost:
                    self._leave(self._lost.pop())
                if self._full is not None and time.monotonic() >= self._full:
                    self._full = None
                    self._selector.register(listener, selectors.EVENT_READ)
        finally:
            for client in list(self._clients.values()):
                self._close(client)
            self._selector.close()

    def _pause(self) -> float | None:
        """Seconds until something is tried again; None if nothing is."""
        pauses = [_LATER] if self._later else []
        if self._full is not None:
            pauses.append(max(0.0, self._full - time.monotonic()))
        return min(pauses, default=None)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client = self._new(listener)
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _SHORT:
                raise os_error("accept a connection", error) from error
            # It stays in the queue meanwhile.
            if not self._said:
                self._note(f"a client has to wait: {os.strerror(error.errno)}")
            self._said = True
            self._selector.unregister(listener)
            self._full = time.monotonic() + _LATER
            return
        if client is None:
            self._note("a client is refused: all IDs are taken")
            return
        others = list(self._clients.values())
        self._said = False
        self._clients[client.number] = client
        self._selector.register(client.sock, selectors.EVENT_READ, client)
        client.waiting.extend(
            [(messages.VERSION, None, 0), (client.number, None, 0), (messages.MEMORY, None, 1)]
        )
        for other in others:
            self._tell(client, other)
        self._tell(client, client)
        self._note(f"machine {client.number} has come")
        self._send(client)
        for other in others:
            # One that cannot be told leaves, of which the others are told in turn.
            if not (client.gone or other.gone):
                self._tell(other, client)
                self._send(other)

    def _new(self, listener: socket.socket) -> _Client | None:
        """The next client, with all that it needs, or None if it can get no ID.

        Raises:
            OSError: there is none, or not enough for it; then it stays in the queue.
        """
        with contextlib.ExitStack() as stack:
            rings = []
            for _ in range(self._vectors):
                rings.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
                stack.callback(os.close, rings[-1])
            sock, _ = listener.accept()
            stack.callback(sock.close)
            sock.setblocking(False)
            # A number that was used lately may still be known to somebody.
            free = (
                n & ivshmem.ID_MASK for n in range(self._next, self._next + ivshmem.ID_MASK + 1)
            )
            number = next((n for n in free if n not in self._clients), None)
            if number is None:
                return None
            stack.pop_all()
        self._next = number + 1
        return _Client(number, sock, rings)

    def _tell(self, client: _Client, of: _Client) -> None:
        """Have a client told of another one, or of itself."""
        client.waiting.extend((of.number, of, vector) for vector in range(self._vectors))

    def _send(self, client: _Client) -> None:
        """Send what waits for a client, as much as it takes."""
        if client.gone:
            return
        try:
            while client.waiting:
                number, of, vector = client.waiting[0]
                fd = of.rings[vector] if of else self._memory if vector else None
                messages.send(client.sock, number, fd)
                client.waiting.popleft()
                if of:
                    client.told.add(of)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _SHORT:
                self._lost.append(client)
                return
            # Unread descriptors of others are too many: unix(7). No event tells of their end.
            self._later.add(client)
            self._selector.modify(client.sock, selectors.EVENT_READ, client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.waiting else 0)
        self._selector.modify(client.sock, events, client)

    def _leave(self, client: _Client) -> None:
        """Let a client go that has hung up, or sends something, and tell the others."""
        if client.gone:
            return
        self._close(client)
        self._note(f"machine {client.number} has gone")
        for other in list(self._clients.values()):
            other.waiting = deque(each for each in other.waiting if each[1] is not client)
            if client in other.told:
                other.told.discard(client)
                other.waiting.append((client.number, None, 0))
                self._send(other)

    def _close(self, client: _Client) -> None:
        client.gone = True
        del self._clients[client.number]
        self._selector.unregister(client.sock)
        client.sock.close()
        for fd in client.rings:
            os.close(fd)
