# SPDX-License-Identifier: BSD-3-Clause
"""The records of the kernel's log: Documentation/ABI/testing/dev-kmsg of Linux."""

from __future__ import annotations

import os

from rslctl.errors import os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rslctl.linux.host import Host

_KMSG = "/dev/kmsg"
#: A record has at most this many bytes (PRINTK_MESSAGE_MAX of the kernel).
_RECORD = 8192


class Record:
    """A record of the log."""

    def __init__(self, number: int, text: str, device: str) -> None:
        #: Each record has the number of the one before plus 1.
        self.number = number
        self.text = text
        #: The device that it is about, as "+remoteproc:remoteproc0"; "" if it is about none.
        self.device = device


def records(host: Host) -> Iterator[Record]:
    """Yield the records that the kernel still has, oldest first.

    Raises:
        RslError: the log cannot be read: the user may not, or the kernel has none.
    """
    path = host.where(_KMSG)
    try:
        fd = host.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise os_error(f"read the kernel's log '{path}'", error) from error
    try:
        lines = _all(fd).decode(errors="replace").splitlines()
    except OSError as error:
        raise os_error(f"read the kernel's log '{path}'", error) from error
    finally:
        os.close(fd)
    while lines:
        head, _, text = lines.pop(0).partition(";")
        device = ""
        while lines and lines[0][:1] == " ":
            key, _, value = lines.pop(0).strip().partition("=")
            device = value if key == "DEVICE" else device
        number = head.split(",")[1:2]
        if number and number[0].isdecimal():
            yield Record(int(number[0]), text, device)


def _all(fd: int) -> bytes:
    """Read one record after the other, as the kernel gives them."""
    found = []
    while True:
        try:
            data = os.read(fd, _RECORD)
        except BlockingIOError:
            break
        except BrokenPipeError:  # the record was overwritten; the next read gives the oldest
            continue
        if not data:
            break
        found.append(data)
    return b"".join(found)


def next_number(host: Host) -> int:
    """Return the number that the next record will have.

    Raises:
        RslError: as :func:`records`.
    """
    return max((each.number for each in records(host)), default=-1) + 1
