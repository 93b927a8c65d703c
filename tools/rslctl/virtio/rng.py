# SPDX-License-Identifier: BSD-3-Clause
"""The entropy device, built in: virtio 1.2, section 5.4. Its bytes are those of getrandom(2)."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from rslctl.errors import os_error
from rslctl.virtio.backend import BackendError
from rslctl.virtio.built_in import BuiltIn
from rslctl.virtio.memory import Memory
from rslctl.virtio.rings import Chain

#: The most bytes that a request gets. A driver may not count on more than one: section 5.4.6.
REQUEST_MAX = 65536
#: The requests that are answered before other devices have their turn.
REQUESTS = 4


class RngBackend(BuiltIn):
    """An entropy device.

    While the kernel's generator is not initialised yet, requests wait: random(4) is readable once
    it is.
    """

    device_id = 4
    queues: tuple[int, ...] = (128,)

    def __init__(self, memory: Memory, barrier: Callable[[], None]) -> None:
        super().__init__(memory, barrier)
        #: The request that waits for the generator, and what tells that it is ready.
        self._request: Chain | None = None
        self._generator: int | None = None

    def stop(self) -> None:
        super().stop()
        self._request = None
        self._forget_generator()

    def watch(self) -> dict[int, int]:
        found = super().watch()
        return found if self._generator is None else {**found, self._generator: select.EPOLLIN}

    def _work(self) -> bool:
        requests = self._served.get(0)
        if requests is None:
            return False
        for _ in range(REQUESTS):
            self._request = self._request or requests.pop()
            if self._request is None:
                return False
            try:
                data = os.getrandom(min(self._request.room, REQUEST_MAX), os.GRND_NONBLOCK)
            except BlockingIOError:
                self._await_generator()
                return False
            self._forget_generator()
            requests.scatter(self._request, data)
            requests.push(self._request, len(data))
            self._request = None
        return True

    def _await_generator(self) -> None:
        if self._generator is None:
            try:
                self._generator = os.open("/dev/random", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise BackendError(str(os_error("open '/dev/random'", error))) from error

    def _forget_generator(self) -> None:
        if self._generator is not None:
            os.close(self._generator)
            self._generator = None
