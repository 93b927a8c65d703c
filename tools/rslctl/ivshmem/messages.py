# SPDX-License-Identifier: BSD-3-Clause
"""The messages of an ivshmem server: docs/specs/ivshmem-spec of QEMU, "Client-Server protocol".

A message is a signed number of 64 bits, little endian, perhaps with a descriptor. Only the server
sends. A new client gets, in this order:

1. the version of the protocol, :data:`VERSION`;
2. its own ID;
3. :data:`MEMORY`, with a descriptor of the shared memory;
4. for each other client its ID, with the eventfd of a vector, for each of its vectors in order;
5. the same for its own ID.

Later each new client is told as in 4, and one that has gone by its ID without a descriptor.
"""

from __future__ import annotations

import os
import socket
import struct

from rslctl.errors import RslError
from rslctl.linux import fd_passing

VERSION = 0
#: The message that comes with the shared memory.
MEMORY = -1

_MESSAGE = struct.Struct("<q")


def send(sock: socket.socket, number: int, fd: int | None = None) -> None:
    """Send a message, perhaps with a descriptor.

    Raises:
        BlockingIOError: the client has too many messages that it has not read.
        OSError: the client has gone.
    """
    fds = [] if fd is None else [fd]
    # A stream takes 8 bytes whole or not at all: its buffers are pages.
    socket.send_fds(sock, [_MESSAGE.pack(number)], fds, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[int, int | None]:
    """Return the server's next message, and its descriptor, if any, which the caller closes.

    Raises:
        BlockingIOError: the socket does not block, and no message has come.
        RslError: the server has gone, or sends something else.
    """
    data, fds = b"", list[int]()
    try:
        while len(data) < _MESSAGE.size:
            more, got = fd_passing.receive(sock, _MESSAGE.size - len(data), 2)
            fds += got
            if not more:
                raise RslError("the ivshmem server has gone", hint="start it anew")
            data += more
        if len(fds) > 1:
            raise RslError("the ivshmem server sends two descriptors with a message")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    number: int = _MESSAGE.unpack(data)[0]
    return number, fds[0] if fds else None
