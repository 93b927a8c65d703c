# SPDX-License-Identifier: BSD-3-Clause
"""The remote's end of a link that rslctl virtio serves, and the service in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from rslctl import client
from rslctl.virtio import options
from rslctl.virtio.memory import Memory
from rslctl.virtio.registers import PFN_ACK, Register
from rslctl.virtio.service import Service

from tests.unit.virtio.firmware import Firmware, Modern, Step
from tests.unit.virtio.split_ring import Driver

#: Seconds that anything may take.
LIMIT = 30.0
SIZE = 64


def until(done: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Header:
    """A header in the memory of the remote, for the drivers of firmware.py."""

    def __init__(self, link: client.Link, offset: int) -> None:
        self.link = link
        base = link.manifest["memory"]["remote_base"]
        self._memory = Memory(link.memory, base)
        self._at = base + offset

    def read(self, offset: int) -> int:
        return self._memory.u32(self._at + offset)

    def write(self, offset: int, value: int) -> None:
        self._memory.set_u32(self._at + offset, value)

    def look(self) -> None:
        """Have the device look, and wait for its answer to a transaction."""
        self.link.kick(0)
        until(lambda: self.read(Register.TRANSACTION) == 0, "the device does not answer")


class Remote:
    """A remote with drivers for the devices of its link."""

    def __init__(self, link: client.Link, version: int) -> None:
        self.link = link
        self.version = version
        self.base = link.manifest["memory"]["remote_base"]
        self.memory = Memory(link.memory, self.base)
        #: By queue: the vector that notifies the device.
        self._notify: dict[Driver, int] = {}

    def header(self, number: int) -> Header:
        """The header of a device, without a device tree."""
        return Header(self.link, number * 0x200)

    def region(self, number: int) -> int:
        """Where the queues of a device may be."""
        header = self.header(number)
        return header.read(Register.SHM_BASE_LOW) | header.read(Register.SHM_BASE_HIGH) << 32

    def there(self, number: int = 0) -> bool:
        """Whether there is a device."""
        return self.header(number).read(Register.MAGIC) == 0x74726976

    def await_devices(self) -> None:
        """Wait until the daemon has published its devices."""
        until(self.there, "no device")

    def start(self, number: int, queues: int = 1) -> list[Driver]:
        """Bring a device up, from a reset on; its queues are empty."""
        region = self.region(number)
        # In the regions of rng and console are 5 pages beside the first one.
        places = [region + 0x2000 * (1 + index) for index in range(queues)]
        for place in places:
            self.memory.write(place, bytes(0x2000))
        drivers = [Driver(self.memory, SIZE, at, index) for index, at in enumerate(places)]
        header = self.header(number)
        if self.version == 2:
            modern = Modern(header)  # type: ignore[arg-type]
            modern.probe([each.queue for each in drivers])
            for each in drivers:
                modern.write(Register.QUEUE_SEL, each.queue.index)
                self._notify[each] = header.read(Register.QUEUE_NOTIFY_VECTOR)
        else:
            firmware = Firmware(pfns=tuple(place // 4096 for place in places), size=SIZE)
            for each, queue in zip(drivers, firmware.queues(), strict=True):
                each.queue = queue
                self._notify[each] = 0
            self._boot(firmware, header)
        self.notify(*drivers)
        return drivers

    def _boot(self, firmware: Firmware, header: Header) -> None:
        header.write(Register.STATUS, 0)
        header.link.kick(0)
        for step in firmware.boot(header):  # type: ignore[arg-type]
            if step is Step.RING:
                header.link.kick(0)
            elif step is Step.WAIT:
                until(lambda: header.read(Register.QUEUE_PFN) == PFN_ACK, "not acknowledged")

    def notify(self, *drivers: Driver) -> None:
        self.link.kick(*{self._notify[each] for each in drivers})

    def take(self, driver: Driver) -> tuple[int, int]:
        """Wait for the next chain that comes back: its head, and how much was written."""
        found: list[tuple[int, int]] = []

        def look() -> bool:
            chain = driver.get()
            found.extend([chain] if chain else [])
            return bool(found)

        until(look, "no chain comes back")
        return found[0]

    def ask(self, driver: Driver, size: int = 64) -> bytes:
        """Ask an entropy device for bytes."""
        at = (driver.queue.used & ~0xFFF) + 0x800
        self.memory.write(at, bytes(size))
        driver.add([], [(at, size)])
        self.notify(driver)
        assert self.take(driver)[1] == size
        return self.memory.read(at, size)


class Log:
    """The lines of a service."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    def has(self, text: str) -> bool:
        return any(text in each for each in self.lines)


@contextlib.contextmanager
def serving(
    link: client.Link, *words: str, show: Callable[[str], None] = lambda _: None
) -> Iterator[threading.Thread]:
    """The service of a link in a thread, until the end of the block."""
    given: Mapping[str, int] = {}
    service = Service(link, options.plan(link.manifest, words), given, show)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            service.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        if thread.is_alive():
            service.end()
        thread.join(LIMIT)
        assert not thread.is_alive()
    if failed:
        raise failed[0]
