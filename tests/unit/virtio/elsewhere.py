# SPDX-License-Identifier: BSD-3-Clause
"""Back-ends that are other processes, played by threads, for the tests of the service."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence

from rslctl.virtio.backend import Wired
from rslctl.virtio.wiring import signal

from tests.unit.virtio.remote_side import LIMIT, SIZE


class Elsewhere:
    """Plays a back-end that is another process, as VhostUser has it: a thread has the eventfds of
    the queues, and answers each notification by a kick.

    It leaves out the queues' contents.
    """

    def __init__(self) -> None:
        self.device_id = 4
        self.queues: tuple[int, ...] = (SIZE,)
        self.waits, self.away = False, False
        self.answered = 0
        self._thread: threading.Thread | None = None
        self._stopped = os.eventfd(0)

    def offered(self) -> int:
        return 1 << 32

    def config(self) -> bytes:
        return b""

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        self._thread = threading.Thread(target=self._serve, args=[queues[0]])
        self._thread.start()

    def _serve(self, wired: Wired) -> None:
        while True:
            ready, _, _ = select.select([self._stopped, wired.kick], [], [])
            if self._stopped in ready:
                return
            os.eventfd_read(wired.kick)
            self.answered += 1
            signal(wired.call)

    def stop(self) -> None:
        if self._thread:
            os.eventfd_write(self._stopped, 1)
            self._thread.join()
            os.eventfd_read(self._stopped)
        self._thread = None

    def watch(self) -> dict[int, int]:
        return {}

    def ready(self, fd: int, events: int) -> None:
        raise AssertionError("nothing is watched")

    def close(self) -> None:
        self.stop()
        if self._stopped >= 0:
            os.close(self._stopped)
        self._stopped = -1


DEVICE = "device,id=4,queues=1,socket=/elsewhere"


class Slow(Elsewhere):
    """As Elsewhere, of a back-end that does not answer until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = True
        self.begun, self.go = threading.Event(), threading.Event()

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        self.begun.set()
        assert self.go.wait(LIMIT)
        super().start(features, queues)


class Leaving(Elsewhere):
    """As Elsewhere, of a back-end that takes long to leave its queues."""

    def __init__(self, leave: Callable[[], None]) -> None:
        super().__init__()
        self.waits = True
        self._leave = leave

    def stop(self) -> None:
        if self._thread:
            self._leave()
        super().stop()
