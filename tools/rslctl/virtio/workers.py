# SPDX-License-Identifier: BSD-3-Clause
"""Threads for work that may have to wait for another process, so that no other device waits."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rslctl.virtio.device import Device


class Workers:
    """Threads, of which each does one piece of work for a device, and ends."""

    def __init__(self) -> None:
        self._busy: dict[Device, threading.Thread] = {}
        #: The devices whose work is done, with what it raised.
        self._done: deque[tuple[Device, BaseException | None]] = deque()
        self._told = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """The descriptor that is readable when work is done: then call :meth:`done`."""
        return self._told

    def busy(self, device: Device) -> bool:
        """Whether there is work for *device* whose end :meth:`done` has not told."""
        return device in self._busy

    def start(self, device: Device, work: Callable[[], None]) -> None:
        """Have *work* done for a device that is not busy."""

        def run() -> None:
            raised = None
            try:
                work()
            except BaseException as error:
                raised = error
            self._done.append((device, raised))
            os.eventfd_write(self._told, 1)

        self._busy[device] = thread = threading.Thread(target=run, name=device.name)
        try:
            thread.start()
        except RuntimeError:  # the process has as many threads as it may: the others have to wait
            run()

    def done(self) -> list[Device]:
        """The devices whose work is done since the last call; raises what was raised first."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._told)
        devices: list[Device] = []
        first = None
        while self._done:
            device, raised = self._done.popleft()
            thread = self._busy.pop(device)
            if thread.is_alive():  # it has to write the eventfd yet
                thread.join()
            first = first or raised
            devices.append(device)
        if first is not None:
            raise first
        return devices

    def wait(self) -> None:
        """Wait until nothing is being done."""
        for thread in list(self._busy.values()):
            if thread.is_alive():
                thread.join()

    def close(self) -> None:
        """Wait, and close the descriptor."""
        self.wait()
        os.close(self._told)
