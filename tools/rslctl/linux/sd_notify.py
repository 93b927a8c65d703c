# SPDX-License-Identifier: BSD-3-Clause
"""Messages to the service manager: the protocol of sd_notify(3).

This is written by hand because libsystemd, and with it Python's binding, is not on every board.
"""

from __future__ import annotations

import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def address() -> str | None:
    """The socket of the service manager; None where this process has no manager."""
    return os.environ.get("NOTIFY_SOCKET") or None


def send(manager: str, message: str, fds: Sequence[int] = ()) -> None:
    """Send *message*, lines of NAME=VALUE, with the descriptors *fds* to the socket *manager*.

    Raises:
        OSError: the manager does not take it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + manager[1:] if manager[0] == "@" else manager)
        if fds:
            socket.send_fds(sock, [message.encode()], fds)
        else:
            sock.send(message.encode())
