# SPDX-License-Identifier: BSD-3-Clause
"""Serves the devices of a link: waits for whatever there is to do, and does it.

Between a driver's handshakes there is nothing to do, and the process sleeps. Where the queues have
vectors of their own, nothing wakes it. Where they share the control vector with the register
writes, each of their notifications would: so once the drivers run their devices and the back-ends
are others, the process stops listening, and looks at the headers once a second.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import time
from collections import Counter
from functools import partial

from rslctl import client
from rslctl.errors import os_error
from rslctl.linux import signals
from rslctl.profile import virtio
from rslctl.virtio import device_tree, engine, engines, registers
from rslctl.virtio.claim import claim
from rslctl.virtio.device import Device, State
from rslctl.virtio.header import Header
from rslctl.virtio.limit import Limit
from rslctl.virtio.options import Means, Plan, backend
from rslctl.virtio.registers import Register
from rslctl.virtio.report import Report
from rslctl.virtio.wiring import CONTROL, Wiring
from rslctl.virtio.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Seconds between two looks while the process does not listen.
LOOK = 1.0
#: Seconds without a register write after which it stops listening.
CALM = 3.0


class Service:
    """The devices of a link."""

    def __init__(
        self,
        link: client.Link,
        plan: Plan,
        given: Mapping[str, int],
        show: Callable[[str], None],
    ) -> None:
        """*given* is by a name of :data:`options.GIVEN`; *show* takes lines for people.

        Raises:
            GoneError: the link is gone.
            RslError: a back-end is not there, the process has no room for descriptors, or another
                one serves the link.
        """
        self._link = link
        self._plan = plan
        self._limits = [Limit(each.name, show) for each in plan.devices]
        queues = Counter(itertools.chain(*plan.vectors))
        self._wiring = Wiring(link, queues + Counter([CONTROL]))
        # With other vectors, what has this one is served here, or by nobody.
        self._may_be_quiet = set(queues) == {CONTROL} and not self._wiring.shared
        self._devices: list[Device] = []
        #: The descriptors of the back-ends that are waited for, by device.
        self._waited: dict[Device, list[int]] = {}
        self._listening = False
        #: When a driver was last seen to have written something.
        self._written = time.monotonic()
        #: When all headers were last looked at.
        self._looked = self._written
        #: What :meth:`close` has to undo.
        self._made = contextlib.ExitStack()
        try:
            self._make(given)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise os_error(f"serve the devices of link {link.name!r}", error) from error
            raise

    def _make(self, given: Mapping[str, int]) -> None:
        claim(self._link)
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._made.callback(os.close, self._end)
        self._control = self._wiring.notify(CONTROL)
        self._made.callback(self._wiring.release, self._control)
        self._epoll = self._made.enter_context(select.epoll())
        self._workers = Workers()
        self._made.callback(self._workers.close)
        means = Means.of(self._link, self._plan, self._wiring.barrier, given)
        for number, each in enumerate(self._plan.devices):
            made = backend(each, means)
            self._made.callback(made.close)
            device = Device(
                each.name,
                Header(self._link.memory, each.header, self._wiring),
                engines.engine(self._plan.version, self._plan.identity(number, made)),
                made,
                self._plan.vectors[number],
                self._wiring,
                Report(self._link.memory, each.header, self._plan.memory.base),
                self._limits[number],
            )
            self._made.callback(device.close)
            self._devices.append(device)
            self._waited[device] = []

    def end(self) -> None:
        """Have :meth:`run` end; from a signal handler, or another thread. May be called again."""
        with contextlib.suppress(OSError):  # it has ended
            os.eventfd_write(self._end, 1)

    def run(self) -> None:
        """Publish the devices, say READY=1, and serve them until :meth:`end`.

        Then the devices are taken away, and everything is closed. Can be called once.

        Raises:
            GoneError: the link is gone.
        """
        try:
            self._epoll.register(self._end, select.EPOLLIN)
            self._epoll.register(self._workers, select.EPOLLIN)
            with contextlib.suppress(PermissionError):  # a memfd, which cannot be polled
                self._epoll.register(self._link.fds["shmem"], 0)
            for descriptor in self._wiring.shared:
                self._epoll.register(descriptor, select.EPOLLIN)
            self._listen()
            self._publish()
            self._link.ready()
            while self._turn():
                pass
        finally:
            self._withdraw()
            self.close()

    def _withdraw(self) -> None:
        """Take all devices away: those first that wait for nobody, the others side by side."""
        self._settle()
        for device in sorted(self._devices, key=Device.waits):
            self._forget(device)
            if device.waits():
                self._workers.start(device, device.withdraw)
            else:
                with contextlib.suppress(client.GoneError):
                    device.withdraw()
        self._settle()

    def _settle(self) -> None:
        """Wait for what is being done in threads."""
        self._workers.wait()
        with contextlib.suppress(client.GoneError):
            self._workers.done()

    def close(self) -> None:
        """Close everything, where :meth:`run` is not called. May be called again."""
        self._made.close()

    def _publish(self) -> None:
        """Write all headers, and have a remote that runs look at them.

        The first device comes last, so that a remote that waits for it finds all.
        """
        clear(self._link, self._plan, self._wiring.barrier)
        if self._plan.device_tree:
            blob = device_tree.blob(self._plan.header(each).base for each in self._plan.devices)
            self._link.memory[: len(blob)] = blob
        for device in reversed(self._devices):
            device.publish()
            self._watch(device)
        self._wiring.ring()

    def _turn(self) -> bool:
        """Wait for the next thing to do, and do it; False at the end.

        One at a time: what is done for one device may close descriptors of another.
        """
        pause = self._pause()
        if pause == 0:  # also where other things happen all the time
            self._look()
            return True
        for descriptor, events in self._epoll.poll(pause, 1):
            if descriptor == self._end:
                return False
            self._handle(descriptor, events)
            return True
        self._look()
        return True

    def _pause(self) -> float | None:
        """The seconds after which to look at the headers if nothing happens; None is for ever."""
        pauses: list[float] = []
        if not self._listening:
            pauses.append(max(0.0, self._looked + LOOK - time.monotonic()))
        for device, limit in zip(self._devices, self._limits, strict=True):
            if not self._workers.busy(device):
                pauses += [each for each in (limit.settle(), device.rest) if each is not None]
        return min(pauses, default=None)

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor == self._control:
            with contextlib.suppress(BlockingIOError):  # another has the same eventfd
                os.eventfd_read(descriptor)
            self._look()
        elif descriptor == self._workers.fileno():
            for device in self._workers.done():
                self._watch(device)
            self._look()
        elif descriptor in self._wiring.shared:
            self._wiring.pass_on(self._wiring.shared[descriptor])
        elif descriptor == self._link.fds["shmem"]:
            raise client.GoneError(
                f"link {self._link.name!r} went away", hint="rslctl setup brings it back"
            )
        else:
            self._ready(descriptor, events)

    def _look(self) -> None:
        """Look at all headers, and then listen or not."""
        self._looked = time.monotonic()
        for device in self._devices:
            if self._workers.busy(device):
                continue
            actions = device.look()
            if actions:
                self._do(device, partial(device.perform, actions), waits=device.waits(actions))
            if not all(map(_acknowledges, actions)):
                self._written = time.monotonic()
        if time.monotonic() - self._written < CALM:
            self._listen()
        elif self._listening and self._is_quiet():
            self._epoll.unregister(self._control)
            self._listening = False

    def _is_quiet(self) -> bool:
        """Whether the process may stop listening: nothing needs it soon."""
        if any(map(self._workers.busy, self._devices)):
            return False
        states = [device.state for device in self._devices]
        return (
            self._may_be_quiet
            and State.RUNNING in states
            and State.NEGOTIATING not in states
            and not any(device.served_here for device in self._devices)
        )

    def _listen(self) -> None:
        if not self._listening:
            self._epoll.register(self._control, select.EPOLLIN)
            self._listening = True

    def _ready(self, descriptor: int, events: int) -> None:
        """Let the back-end handle an event that has one of its descriptors."""
        for device, waited in self._waited.items():
            if descriptor in waited:
                work = partial(device.ready, descriptor, events)
                self._do(device, work, waits=device.waits())
                return

    def _do(self, device: Device, work: Callable[[], None], *, waits: bool) -> None:
        """Do *work* for a device; if it *waits*, in a thread, and nothing else for the device."""
        self._forget(device)
        if waits:
            self._workers.start(device, work)
        else:
            work()
            self._watch(device)

    def _forget(self, device: Device) -> None:
        """Wait for nothing of a back-end: before it closes a descriptor whose file stays open."""
        for descriptor in self._waited[device]:
            with contextlib.suppress(FileNotFoundError, OSError):  # it was closed
                self._epoll.unregister(descriptor)
        self._waited[device] = []

    def _watch(self, device: Device) -> None:
        for descriptor, events in device.watch().items():
            self._epoll.register(descriptor, events)
            self._waited[device].append(descriptor)


def _acknowledges(action: engine.Action) -> bool:
    """Whether it is the answer to an acknowledgement, which a driver sends for each interrupt."""
    return isinstance(action, engine.Put) and action.offset == Register.INTERRUPT_ACK


def clear(link: client.Link, plan: Plan, barrier: Callable[[], None]) -> None:
    """Write zeros where headers are, or were, and a device tree. MAGIC is the first to go.

    The rest of the memory stays as it is: it is the remote's, and may have what it must know.
    """
    head = min(virtio.DEVICE_TREE_SIZE, len(link.memory))
    places = {*range(0, head, registers.HEADER_SIZE), *(each.header for each in plan.devices)}
    with memoryview(link.memory) as whole, whole.cast("I") as words:
        for place in places:
            words[(place + Register.MAGIC) // 4] = 0
        barrier()
        for place in places:
            whole[place : place + registers.HEADER_SIZE] = bytes(registers.HEADER_SIZE)
        barrier()


def serve(make: Callable[[], Service]) -> None:
    """Make a service, and run it, until SIGTERM or SIGINT, which may come before it is made.

    For a process that ends then: it handles the signals to its end.

    Raises:
        GoneError: the link is gone.
        RslError: what *make* raises.
    """
    made: Service | None = None

    def end(*_: object) -> None:
        if made is None:
            raise SystemExit(0)  # what there is of it is closed
        made.end()

    signals.hold()
    for number in signals.ENDING:
        signal.signal(number, end)
    made = make()
    signals.release()
    made.run()
