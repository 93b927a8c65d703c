# SPDX-License-Identifier: BSD-3-Clause
"""The eventfds between the vectors of a link and the queues of devices.

With the descriptor ``mbox`` they are bound in the kernel, so that no process is between a vector
and the back-end that has its eventfd. A link that was given as eventfds has one for each vector,
which cannot be bound again: a vector of one queue is that queue's, and notifications of a vector
that several share are passed on by this process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import threading

from rslctl import client
from rslctl.errors import RslError, os_error
from rslctl.linux import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The vector of register writes and of configuration changes, and of all queues in version 1.
CONTROL = 0

#: Machines on which taking a lock orders all accesses of the process: x86, whose locked
#: instructions do (Intel SDM volume 3, 9.2.2; atomic_t.txt of Linux).
_X86 = ("x86_64", "i386", "i686")


class Wiring:
    """Makes the eventfds of a link's queues, and kicks the control vector."""

    def __init__(self, link: client.Link, users: Mapping[int, int]) -> None:
        """*users* is by vector how many eventfds :meth:`notify` has at most at a time.

        Raises:
            RslError: a vector cannot have so many.
        """
        self._link = link
        self._has_mbox = "mbox" in link.fds
        for vector, count in users.items():
            if self._has_mbox and count > uapi.MAX_BINDINGS:
                raise RslError(
                    f"vector {vector} of link {link.name!r} needs {count} eventfds, one for each "
                    f"queue that has it, and can have {uapi.MAX_BINDINGS}",
                    hint="serve fewer devices, or serve them with version 2 on several vectors",
                )
        several = () if self._has_mbox else (each for each in users if users[each] > 1)
        #: By vector that several share: the eventfds that this process has to signal.
        self._followers: dict[int, list[int]] = {vector: [] for vector in several}
        #: The link's eventfds that this process has to wait for, each with its vector. None if the
        #: kernel signals the eventfds of all queues.
        self.shared = {link.fds[f"notify{vector}"]: vector for vector in self._followers}
        #: The vector and the direction of each eventfd that is bound in the kernel.
        self._bound: dict[int, tuple[int, int]] = {}
        self._fence = threading.Lock()
        #: Held while the followers change, or are signalled: some devices have threads.
        self._changing = threading.Lock()

    def notify(self, vector: int) -> int:
        """Return a new eventfd, non-blocking, that each notification of *vector* signals.

        :meth:`release` it.

        Raises:
            GoneError: the link is gone.
            RslError: the vector has as many eventfds as it can, or the process has.
        """
        if self._has_mbox:
            return self._bind(vector, uapi.NOTIFY)
        if vector not in self._followers:
            return self._copy(f"notify{vector}")
        made = _eventfd()
        with self._changing:
            self._followers[vector].append(made)
        return made

    def kick(self, vector: int) -> int:
        """Return a new eventfd, non-blocking, whose signal kicks *vector*; :meth:`release` it.

        Raises:
            GoneError: the link is gone.
            RslError: the vector has as many eventfds as it can, or the process has.
        """
        if self._has_mbox:
            return self._bind(vector, uapi.KICK)
        return self._copy(f"kick{vector}")

    def release(self, eventfd: int) -> None:
        """Close an eventfd of :meth:`notify` or :meth:`kick`.

        Its binding ends, even if a back-end keeps it.
        """
        if eventfd in self._bound:
            vector, direction = self._bound.pop(eventfd)
            ended = uapi.BINDING.pack(vector, direction, eventfd, uapi.BIND_DEASSIGN)
            with contextlib.suppress(OSError):  # the link is gone, and its bindings with it
                fcntl.ioctl(self._link.fds["mbox"], uapi.IOC_BIND, ended)
        with self._changing:
            for each in self._followers.values():
                if eventfd in each:
                    each.remove(eventfd)
        os.close(eventfd)

    def pass_on(self, vector: int) -> None:
        """Signal the eventfds of a vector of :attr:`shared`, if it was notified."""
        with self._changing, contextlib.suppress(BlockingIOError):  # it was not
            os.eventfd_read(self._link.fds[f"notify{vector}"])
            for each in self._followers[vector]:
                signal(each)

    def ring(self) -> None:
        """Kick the control vector. The remote sees what was written before.

        Raises:
            GoneError: the link is gone.
        """
        self._link.kick(CONTROL)

    def barrier(self) -> None:
        """Have the remote see what was written before no later than what is written after.

        The same for what is read. With ``mbox`` it is a kick of no vector: the kernel orders
        memory for the remote by it, as the contract of a kick says (rsl_mbox.h). With eventfds
        alone, on x86 it is a lock, and on other machines a kick of the control vector.

        Raises:
            GoneError: the link is gone.
        """
        if self._has_mbox:
            self._link.kick()
        elif platform.machine() in _X86:
            with self._fence:
                pass
        else:
            self.ring()

    def _bind(self, vector: int, direction: int) -> int:
        made = _eventfd()
        try:
            binding = uapi.BINDING.pack(vector, direction, made, 0)
            fcntl.ioctl(self._link.fds["mbox"], uapi.IOC_BIND, binding)
        except OSError as error:
            os.close(made)
            if error.errno == errno.ENODEV:
                raise client.GoneError(
                    f"link {self._link.name!r} went away", hint="rslctl setup brings it back"
                ) from error
            hint = ""
            if error.errno == errno.ENOSPC:
                hint = f"a vector has {uapi.MAX_BINDINGS} eventfds at most: serve fewer devices"
            what = f"bind an eventfd to vector {vector} of link {self._link.name!r}"
            raise os_error(what, error, hint=hint) from error
        self._bound[made] = vector, direction
        return made

    def _copy(self, name: str) -> int:
        try:
            return fcntl.fcntl(self._link.fds[name], fcntl.F_DUPFD_CLOEXEC, 0)
        except OSError as error:
            raise os_error(f"duplicate descriptor {name}", error) from error


def _eventfd() -> int:
    try:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    except OSError as error:
        raise os_error("make an eventfd", error) from error


def signal(eventfd: int) -> None:
    """Signal a non-blocking eventfd."""
    with contextlib.suppress(BlockingIOError):  # its count is full: it is signalled
        os.eventfd_write(eventfd, 1)
