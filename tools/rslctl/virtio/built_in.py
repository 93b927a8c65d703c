# SPDX-License-Identifier: BSD-3-Clause
"""What the back-ends that are built in share: they serve their queues in this process."""

from __future__ import annotations

import contextlib
import os
import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from rslctl.errors import os_error
from rslctl.virtio.backend import VERSION_1, BackendError, Event, What, Wired
from rslctl.virtio.memory import Memory
from rslctl.virtio.rings import Chain, Ring, RingError
from rslctl.virtio.wiring import signal


class Served(Ring):
    """A queue that this process serves, with the eventfds of it."""

    def __init__(self, memory: Memory, wired: Wired, barrier: Callable[[], None]) -> None:
        super().__init__(memory, wired.queue, barrier)
        #: The eventfd that is signalled when the remote notifies.
        self.kick = wired.kick
        self._call = wired.call
        self._owed = False

    def push(self, chain: Chain, written: int) -> None:
        super().push(chain, written)
        self._owed = True

    def signal(self) -> None:
        """Kick the remote if it was given chains since the last call, and wants to know."""
        if self._owed and self.wants_kick():
            signal(self._call)
        self._owed = False


class BuiltIn(ABC):
    """A back-end in this process. Each event makes it do a bounded piece of its work."""

    device_id: int
    queues: tuple[int, ...]
    away = False
    waits = False

    def __init__(self, memory: Memory, barrier: Callable[[], None]) -> None:
        """*barrier* is as :class:`~rslctl.virtio.rings.Ring` wants it.

        Raises:
            BackendError: the process has as many descriptors as it can.
        """
        self._memory = memory
        self._barrier = barrier
        #: The queues that run, by index.
        self._served: dict[int, Served] = {}
        #: What :meth:`close` has to undo.
        self._opened = contextlib.ExitStack()
        try:
            #: Signalled by this process for what it has left for later.
            self._again = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise BackendError(str(os_error("make an eventfd", error))) from error
        self._opened.callback(os.close, self._again)

    def offered(self) -> int:
        """The features of the device."""
        return VERSION_1

    def config(self) -> bytes:
        """The configuration of the device, which never changes."""
        return b""

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        """Serve *queues*, also what is in them already."""
        self._served = {
            each.queue.index: Served(self._memory, each, self._barrier) for each in queues
        }
        signal(self._again)

    def stop(self) -> None:
        """Leave the queues alone from now on."""
        self._served = {}

    def watch(self) -> dict[int, int]:
        """What to wait for."""
        return dict.fromkeys([self._again, *self._kicks()], select.EPOLLIN)

    def _kicks(self) -> list[int]:
        return [each.kick for each in self._served.values()]

    def ready(self, fd: int, events: int) -> Event | None:
        """Do a piece of work; *fd* is one of :meth:`watch` that has *events*."""
        if fd in (self._again, *self._kicks()):
            with contextlib.suppress(BlockingIOError):  # it was signalled before a stop
                os.eventfd_read(fd)
        try:
            more = self._work()
        except (RingError, BackendError) as error:
            self.stop()
            return Event(What.FAILED, str(error))
        for each in self._served.values():
            each.signal()
        if more:
            signal(self._again)
        return None

    @abstractmethod
    def _work(self) -> bool:
        """Do a bounded piece of work; return whether there is more that can be done at once.

        Raises:
            RingError: the driver did what no driver may do.
            BackendError: this back-end cannot go on.
        """

    def close(self) -> None:
        """Stop, and close what this back-end opened."""
        self.stop()
        self._opened.close()
