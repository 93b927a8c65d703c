# SPDX-License-Identifier: BSD-3-Clause
"""One process at a time for the devices of a link."""

from __future__ import annotations

import errno
import fcntl
import struct
import time

from rslctl.errors import RslError, os_error
from rslctl.linux import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl import client

#: struct flock of <fcntl.h>, with offsets of 64 bits: type, whence, start, length, and a process.
_FLOCK = struct.Struct("hhqqi0q")
#: How long a process that has been killed may take to go, in seconds.
_PATIENCE = 2.0


def claim(link: client.Link) -> None:
    """Have the devices of *link* to oneself, until all copies of its descriptor are closed.

    It is a lock of the open file (F_OFD_SETLK of fcntl(2)) of ``mbox``, which no back-end gets. A
    link that is given as eventfds is not claimed: these and the memory's descriptor have one inode
    with all eventfds of the machine, so that anybody could refuse it.

    Raises:
        RslError: another process has claimed them.
    """
    if "mbox" not in link.fds:
        return
    lock = _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.fcntl(link.fds["mbox"], fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise os_error(f"claim the devices of link {link.name!r}", error) from error
            if time.monotonic() > end:
                raise RslError(
                    f"another process serves the devices of link {link.name!r}",
                    hint="end it: one rslctl virtio serves all devices of a link",
                ) from error
            with signals.heard():
                time.sleep(0.1)
        else:
            return
