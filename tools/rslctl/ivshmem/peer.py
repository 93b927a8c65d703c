# SPDX-License-Identifier: BSD-3-Clause
"""A program that is a machine of its own to the machines of an ivshmem server."""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType

from rslctl.errors import RslError, os_error
from rslctl.ivshmem import messages
from rslctl.linux import ivshmem

_WORD = struct.Struct("<I")


class Peer:
    """A connection to a server; use it in ``with``, which ends it."""

    def __init__(self, path: str, vectors: int, timeout: float = 10.0) -> None:
        """Connect to the server at *path*, whose clients have at least so many *vectors* each.

        *timeout* is the longest wait for the server, in seconds.

        Raises:
            RslError: there is no such server, or it gives fewer vectors.
        """
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        #: This machine's number.
        self.number = -1
        #: A descriptor of the shared memory, and its size in bytes.
        self.memory = -1
        self.size = 0
        #: The eventfds that notify this machine, by vector.
        self.rings: list[int] = []
        #: The eventfds that notify each other machine, by its number and by vector.
        self.others: dict[int, list[int]] = {}
        self._vectors = vectors
        try:
            self._sock.settimeout(timeout)
            try:
                self._sock.connect(path)
                self._begin()
            except OSError as error:
                raise os_error(f"connect to the ivshmem server at '{path}'", error) from error
            self._sock.setblocking(False)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        version, _ = messages.receive(self._sock)
        if version != messages.VERSION:
            raise RslError(f"the ivshmem server speaks version {version}, not {messages.VERSION}")
        self.number, _ = messages.receive(self._sock)
        what, memory = messages.receive(self._sock)
        if what != messages.MEMORY or memory is None:
            raise RslError("the ivshmem server gives no memory")
        self.memory = memory
        self.size = os.fstat(memory).st_size
        try:
            while len(self.rings) < self._vectors:
                self._take(*messages.receive(self._sock))
        except TimeoutError as error:
            raise RslError(
                f"the ivshmem server gives {len(self.rings)} vectors, not {self._vectors}",
                hint="give it the same --vectors",
            ) from error

    def _take(self, number: int, fd: int | None) -> None:
        if fd is None:
            for each in self.others.pop(number, []):
                os.close(each)
        elif number == self.number:
            self.rings.append(fd)
        else:
            self.others.setdefault(number, []).append(fd)

    def fileno(self) -> int:
        """The descriptor that is readable when :meth:`update` has something to do."""
        return self._sock.fileno()

    def update(self) -> None:
        """Learn which machines have come and gone.

        Raises:
            RslError: the server has gone.
        """
        while True:
            try:
                self._take(*messages.receive(self._sock))
            except BlockingIOError:
                return

    def kick(self, number: int, vector: int) -> bool:
        """Notify another machine; return whether there is such a machine, with this vector."""
        rings = self.others.get(number, [])
        if vector >= len(rings):
            return False
        os.eventfd_write(rings[vector], 1)
        return True

    def announce(self, role: str) -> None:
        """Write this machine's number into the table at the end of the memory, as the *role*'s.

        Raises:
            OSError: the memory cannot be written.
        """
        entry = _WORD.pack(ivshmem.ENTRY | self.number)
        os.pwrite(self.memory, entry, self.entry_at(role))

    def find(self, role: str) -> int | None:
        """The number of the machine that has a role, as the table says; None if none has it.

        Raises:
            OSError: the memory cannot be read.
        """
        entry: int = _WORD.unpack(os.pread(self.memory, _WORD.size, self.entry_at(role)))[0]
        return entry & ivshmem.ID_MASK if entry & ~ivshmem.ID_MASK == ivshmem.ENTRY else None

    def entry_at(self, role: str) -> int:
        """The offset of a role's entry in the memory."""
        return self.size - ivshmem.TABLE_SIZE + ivshmem.ROLES[role]

    def close(self) -> None:
        self._sock.close()
        rings = [fd for others in self.others.values() for fd in others]
        for fd in (*rings, *self.rings, self.memory):
            if fd >= 0:
                os.close(fd)
        self.others, self.rings, self.memory = {}, [], -1

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
