# SPDX-License-Identifier: BSD-3-Clause
"""A program that uses AF_VSOCK and knows of no link.

python3 -m tests.guest.vsock_client CID PORT ROUNDS TIMEOUT

It sends data of many sizes to the service of vsock_driver and checks each answer. TIMEOUT is in
seconds, for each step.
"""

from __future__ import annotations

import ctypes
import errno
import random
import socket
import struct
import sys

from tests.guest.vsock_driver import ANSWER, BUFFER_SIZE, HEADER

#: The socket's option SO_VM_SOCKETS_CONNECT_TIMEOUT.
_CONNECT_TIMEOUT = 6

#: Bytes: around what fits into one buffer, and what takes several.
_FITS = BUFFER_SIZE - HEADER.size
_SIZES = (1, 7, _FITS - 1, _FITS, _FITS + 1, 20_000)


def set_connect_timeout(connection: socket.socket, seconds: int) -> None:
    """Set it; 2 s, which it is else, are short for an emulator."""
    # Python's setsockopt() takes numbers only for such a socket.
    value = struct.pack("@2l", seconds, 0)  # struct timeval
    option = (socket.AF_VSOCK, _CONNECT_TIMEOUT)
    libc = ctypes.CDLL(None)
    if libc.setsockopt(connection.fileno(), *option, value, len(value)):
        sys.exit("the timeout for connect cannot be set")


def exchange(connection: socket.socket, data: bytes) -> None:
    """Send *data* and check what comes back."""
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        part = connection.recv(len(data) - len(answer))
        if not part:
            sys.exit(f"end of the connection after {len(answer)} of {len(data)} bytes")
        answer += part
    if answer != data.translate(ANSWER):
        sys.exit(f"wrong answer to {len(data)} bytes")


def main() -> None:
    cid, port, rounds, timeout = (int(word) for word in sys.argv[1:])
    numbers = random.Random(cid)  # noqa: S311
    total = 0
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as connection:
        set_connect_timeout(connection, timeout)
        connection.settimeout(timeout + 5)
        try:
            connection.connect((cid, port))
        except OSError as error:
            sys.exit(f"connect: {errno.errorcode.get(error.errno or 0, str(error))}")
        for number in range(rounds):
            data = numbers.randbytes(_SIZES[number % len(_SIZES)])
            exchange(connection, data)
            total += len(data)
    print(f"{rounds} round trips, {total} bytes")


if __name__ == "__main__":
    main()
