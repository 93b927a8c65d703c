# SPDX-License-Identifier: BSD-3-Clause
"""One device: its header, the engine that follows the driver's writes, and the back-end."""

from __future__ import annotations

import enum
import time

from rslctl import client
from rslctl.errors import RslError
from rslctl.virtio import engine
from rslctl.virtio.backend import What, Wired
from rslctl.virtio.registers import Register, Status
from rslctl.virtio.wiring import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rslctl.virtio.backend import Backend
    from rslctl.virtio.header import Header
    from rslctl.virtio.report import Report
    from rslctl.virtio.wiring import Wiring

#: Seconds without a look after which a header has rested: :meth:`engine.Engine.look`.
REST = 0.1

_TOLD = {What.AWAY: "the back-end went away", What.AGAIN: "the back-end is back"}


class State(enum.Enum):
    """What the driver of a device has done."""

    #: Nothing: it has not begun, or has reset the device.
    OFFERED = "offered"
    #: It has begun, and is between STATUS 0 and DRIVER_OK.
    NEGOTIATING = "negotiating"
    #: DRIVER_OK: the back-end serves its queues.
    RUNNING = "running"
    #: As RUNNING, but the back-end went away and is waited for.
    AWAY = "away"
    #: The device says NEEDS_RESET, until the driver resets it.
    BROKEN = "broken"


class Device:
    """A device of a link, from its publication to its end."""

    def __init__(
        self,
        name: str,
        header: Header,
        engine_: engine.Engine,
        backend: Backend,
        vectors: Sequence[int],
        wiring: Wiring,
        report: Report,
        tell: Callable[[str], None],
    ) -> None:
        """*vectors* is by queue. *tell* takes lines for people; the remote can cause any number."""
        self.name = name
        self._header = header
        self._engine = engine_
        self._backend = backend
        self._vectors = vectors
        self._wiring = wiring
        self._report = report
        self._tell = tell
        #: The queues that the back-end serves; None if it is stopped.
        self._wired: list[Wired] | None = None
        #: The header at the last look, and until when it rests if that left the engine unsure.
        self._seen = b""
        self._rests_until = 0.0
        self._away = False

    @property
    def state(self) -> State:
        """What the driver has done, as the last look saw it."""
        status = self._header.register(Register.STATUS)
        if self._wired is not None:
            return State.AWAY if self._away else State.RUNNING
        if status & Status.NEEDS_RESET:
            return State.BROKEN
        return State.NEGOTIATING if status else State.OFFERED

    @property
    def served_here(self) -> bool:
        """Whether notifications of the queues wake this process, because it is the back-end."""
        waited = self._backend.watch()
        return any(each.kick in waited for each in self._wired or ())

    def watch(self) -> dict[int, int]:
        """What the back-end waits for: descriptors, each with its EPOLL events."""
        return self._backend.watch()

    def waits(self, actions: Sequence[engine.Action] | None = None) -> bool:
        """Whether :meth:`ready` may take seconds, or :meth:`perform` with *actions*."""
        if actions is None:
            return self._backend.waits
        calls = (engine.Start, engine.Stop)
        return self._backend.waits and any(isinstance(each, calls) for each in actions)

    def publish(self) -> None:
        """Write the header. A remote that looks meanwhile sees no device."""
        self.perform(self._engine.publish())

    def look(self) -> list[engine.Action]:
        """What there is to do about what the driver has written: for :meth:`perform`.

        An engine that is unsure is not asked about the same header again before :data:`REST`.
        """
        now, header = time.monotonic(), self._header.read()
        rested = False
        if self._engine.unsure and header == self._seen:
            rested = now >= self._rests_until
            if not rested:
                return []
        actions = self._engine.look(header, rested=rested)
        self._seen, self._rests_until = header, now + REST
        return actions

    @property
    def rest(self) -> float | None:
        """The seconds after which to look again in any case; None if there is no need to."""
        if not self._engine.unsure:
            return None
        return max(0.0, self._rests_until - time.monotonic())

    def ready(self, descriptor: int, events: int) -> None:
        """Let the back-end handle what :meth:`watch` waited for."""
        event = self._backend.ready(descriptor, events)
        if event is None:
            return
        if event.what is What.CONFIG:
            self.perform(self._engine.config(self._backend.config()))
        elif event.what is What.FAILED:
            self.perform(self._engine.needs_reset(event.reason))
        else:
            self._away = event.what is What.AWAY
            self._report.away(away=self._away)
            self._tell(event.reason or _TOLD[event.what])
            if self._away:
                self._rewire()

    def withdraw(self) -> None:
        """Take the device away: stop the back-end, and have the remote see that it is gone.

        MAGIC becomes 0, so that a remote that starts waits for the next daemon, and a driver that
        runs finds NEEDS_RESET.

        Raises:
            GoneError: the link is gone. The back-end is stopped.
        """
        self._stop()
        self._header.perform(engine.Put(Register.MAGIC, 0))
        for action in self._engine.needs_reset("the daemon has ended"):
            if isinstance(action, (engine.Put, engine.Kick, engine.Barrier)):
                self._header.perform(action)
        self._wiring.ring()

    def close(self) -> None:
        """Close the back-end, and give the memory back."""
        self._stop()
        self._backend.close()
        self._header.close()
        self._report.close()

    def perform(self, actions: Sequence[engine.Action]) -> None:
        """Do what the engine asks for, in its order."""
        failed = ""
        for action in actions:
            if isinstance(action, engine.Start):
                failed = self._start(action)
            elif isinstance(action, engine.Stop):
                self._stop()
                self._tell("stopped")
            elif isinstance(action, engine.Broken):
                self._tell(f"needs a reset: {action.reason}")
            else:
                self._header.perform(action)
        if failed:  # what follows Start tells the driver that it is running
            self.perform(self._engine.needs_reset(failed))

    def _start(self, action: engine.Start) -> str:
        """Have the back-end serve the queues that it knows; why it does not, or ""."""
        self._wired = []
        try:
            for queue in action.queues:
                if queue.index < len(self._backend.queues):
                    self._wired.append(self._wire(queue))
            self._backend.start(action.features, self._wired)
        except client.GoneError:
            raise
        except RslError as error:
            return str(error)
        told = [(each.queue, self._vectors[each.queue.index]) for each in self._wired]
        self._away = self._backend.away
        self._report.running(self._backend.offered(), action.features, told, away=self._away)
        indices = ", ".join(str(each.queue.index) for each in self._wired) or "none"
        self._tell(f"the driver runs it: queues {indices}, features {action.features:#x}")
        return ""

    def _wire(self, queue: engine.Queue) -> Wired:
        vector = self._vectors[queue.index]
        kick = self._wiring.notify(vector)
        try:
            call = self._wiring.kick(vector)
        except BaseException:
            self._wiring.release(kick)
            raise
        signal(kick)  # the driver may have notified before there was an eventfd
        return Wired(queue, kick, call)

    def _rewire(self) -> None:
        """Give the queues other eventfds: see :attr:`What.AWAY`."""
        for each in self._wired or ():
            try:
                new = self._wire(each.queue)
            except client.GoneError:
                raise
            except RslError as error:
                self.perform(self._engine.needs_reset(str(error)))
                return
            old, each.kick, each.call = (each.kick, each.call), new.kick, new.call
            for eventfd in old:
                self._wiring.release(eventfd)

    def _stop(self) -> None:
        """Have the back-end leave the queues, if it serves any."""
        if self._wired is None:
            return
        self._report.stopped()
        try:
            self._backend.stop()
        except RslError as error:
            self._tell(str(error))
        for each in self._wired:
            self._wiring.release(each.kick)
            self._wiring.release(each.call)
        self._wired = None
        self._away = False
