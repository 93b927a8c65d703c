# SPDX-License-Identifier: BSD-3-Clause
"""A back-end that is another process: any device, by the vhost-user protocol of QEMU.

It gets a descriptor of the window of the memory, and the eventfds of the queues. One that goes away
is waited for. What it served then depends on the protocol: with a buffer that keeps what is in
flight (INFLIGHT_SHMFD) the queues go on where they were, and otherwise the device needs a reset.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from rslctl.errors import RslError, os_error
from rslctl.linux import signals
from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import BackendError, Event, What
from rslctl.virtio.timer import Timer
from rslctl.virtio.vhost_user_messages import LIMIT, Connection, LostError
from rslctl.virtio.vhost_user_session import Session, Target, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rslctl.virtio.backend import Window, Wired

#: How long a back-end that is not there yet is waited for at first, in seconds.
PATIENCE = 10.0
#: Seconds between two tries to reach a back-end that is away.
_RETRY = 0.2
#: The most seconds between tries, where it was reached and then did not answer rightly.
_RETRY_MAX = 10.0
#: Seconds for which changes of the configuration are collected, and no requests are answered.
_COLLECT = 0.1


class VhostUser:
    """A back-end that listens at a Unix socket."""

    waits = True

    def __init__(
        self,
        device_id: int,
        path: str,
        window: Window,
        queues: tuple[int, ...],
        *,
        config: bytes | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Connect to the back-end at *path*, and ask what it offers.

        *queues* is the largest size of each. *config* is the configuration of the device where it
        is not the back-end's. *patience* is how many seconds it may take to come up.

        Raises:
            BackendError: nobody listens there in time, or it is no such back-end.
        """
        self.device_id = device_id
        self.queues = queues
        self._path = path
        self._target = Target(device_id, len(queues), window, config)
        #: The back-end that is there, and one that has not told yet what it is.
        self._session: Session | None = None
        self._asked: Connection | None = None
        #: One that was to leave the queues, and has not: it may still write to them.
        self._stuck: Connection | None = None
        #: What is to be served, by this back-end or by the one that comes.
        self._wanted: Wanted | None = None
        #: Whether the back-end has the queues.
        self._plugged = False
        self._offered = 0
        self._config = b""
        self._retry = _RETRY
        #: Waits for all descriptors, which come and go, behind one that stays.
        try:
            self._epoll = select.epoll()
        except OSError as error:
            raise os_error(f"wait for the back-end at '{path}'", error) from error
        try:
            self._timer = Timer()
        except BaseException:
            self._epoll.close()
            raise
        try:
            self._epoll.register(self._timer, select.EPOLLIN)
            self._asked = self._reach(patience)
            self._config = self._meet(self._asked).config
        except BaseException:
            self.close()
            raise

    def _reach(self, patience: float) -> Connection:
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(LostError):
                return self._call()
            if time.monotonic() > end:
                return self._call()
            with signals.heard():
                time.sleep(min(_RETRY, patience))

    def _call(self) -> Connection:
        """Connect, and ask for what is told at first."""
        connection = Connection(self._path)
        try:
            connection.send(messages.GET_FEATURES)
        except BaseException:
            connection.close()
            raise
        return connection

    def offered(self) -> int:
        """The back-end's features; for net the address too, where it is configured."""
        return self._offered

    @property
    def away(self) -> bool:
        """Whether it is waited for."""
        return self._session is None

    def config(self) -> bytes:
        """The configuration: the given one, or what the back-end last told."""
        return self._config

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        """Have the back-end serve *queues*; if it is away, as soon as it is back.

        Raises:
            BackendError: it refuses, does not answer, cannot serve such a driver, or has not left
                the queues that it had before.
        """
        if self._stuck is not None:
            raise BackendError(
                f"{self._stuck.name} has not left the queues that it had before",
                hint="end the back-end",
            )
        self._wanted = wanted = Wanted(features, tuple(queues))
        try:
            wanted.check(self.device_id)
            for each in queues:
                self._target.window.clear_used(each.queue)
                wanted.errors[each.queue.index] = self._error()
        except BaseException:
            self._forget()
            raise
        if self._session is None:
            return
        try:
            self._plug(self._session, wanted)
        except BackendError as error:
            if isinstance(error, LostError) and not wanted.begun:
                self._drop(0)
                return
            self._part(_RETRY)
            self._forget()
            raise

    def _error(self) -> int:
        """A new eventfd for the back-end to signal when it cannot go on with a queue."""
        try:
            made = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise os_error("make an eventfd", error) from error
        self._epoll.register(made, select.EPOLLIN)
        return made

    def stop(self) -> None:
        """Have the back-end leave the queues, if it has them.

        Raises:
            BackendError: it neither says that it has, nor hangs up.
        """
        try:
            if self._session is not None and self._wanted is not None and self._plugged:
                self._unplug(self._session, self._wanted)
        finally:
            self._forget()

    def watch(self) -> dict[int, int]:
        """One descriptor, always the same, for all that there is to wait for."""
        return {self._epoll.fileno(): select.EPOLLIN}

    def ready(self, fd: int, events: int) -> Event | None:
        """Handle what has happened to the back-end.

        A back-end that comes back is waited for from its first answer on, for LIMIT seconds at
        most; one that says that its configuration is another, as well.
        """
        # One at a time: it can be the end of the others.
        for ready, _ in self._epoll.poll(0, 1):
            return self._handle(ready)
        return None

    def close(self) -> None:
        """Stop, and hang up."""
        if self._epoll.closed:
            return
        with contextlib.suppress(RslError):
            self.stop()
        self._drop(_RETRY)
        if self._stuck is not None:
            self._stuck.close()
        self._timer.close()
        self._epoll.close()

    def _handle(self, fd: int) -> Event | None:
        try:
            if fd == self._timer.fileno():
                return self._on_time() if self._timer.take() else None
            if self._stuck is not None and fd == self._stuck.fileno():
                self._stuck.close()
                self._stuck = None
                self._drop(0)
                return None
            for queue, each in self._wanted.errors.items() if self._wanted else ():
                if fd == each:
                    # It is not read: the back-end may have done so, and made it a blocking one.
                    self._epoll.unregister(fd)
                    return Event(What.FAILED, f"the back-end cannot go on with queue {queue}")
            if self._asked is not None:
                return self._on_return(self._asked)
            if self._session is not None:
                connection = self._session.connection
                if fd == connection.fileno():
                    connection.check()
                elif connection.requests is not None:
                    # It is heard again on time: it can send requests without end.
                    self._epoll.modify(connection.requests, 0)
                    connection.serve()
                    self._timer.set(_COLLECT)
        except BackendError as error:
            return self._lose(error)
        return None

    def _on_time(self) -> Event | None:
        """Try again to reach it, or hear it again, and look at its configuration if it changed."""
        if self._session is not None:
            connection = self._session.connection
            if connection.requests is not None:
                self._epoll.modify(connection.requests, select.EPOLLIN)
            if not connection.config_changed:
                return None
            connection.limit()
            connection.config_changed = False
            before, self._config = self._config, self._session.ask_config()
            return Event(What.CONFIG) if self._config != before else None
        if self._asked is not None:
            self._drop(self._longer())
            return None
        try:
            self._asked = self._call()
        except BackendError:
            self._drop(_RETRY)
            return None
        self._epoll.register(self._asked, select.EPOLLIN)
        self._timer.set(LIMIT)
        return None

    def _on_return(self, connection: Connection) -> Event | None:
        """Go on with a back-end that has begun to answer, and have it serve what is wanted."""
        self._epoll.unregister(connection)
        connection.limit()
        try:
            session = self._meet(connection)
            if self._wanted is not None:
                self._plug(session, self._wanted)
        except BackendError as error:
            goes_on = isinstance(error, LostError) and self._goes_on
            self._part(self._longer())
            if self._wanted is None:
                return None
            if goes_on:
                return Event(What.AWAY, f"{error}: waiting for it to come back")
            self._forget()
            return Event(What.FAILED, str(error))
        self._retry = _RETRY
        if session.config != self._config:
            connection.config_changed = True
        self._collect(connection)
        return Event(What.AGAIN, f"{connection.name} is back")

    def _longer(self) -> float:
        self._retry = min(2 * self._retry, _RETRY_MAX)
        return self._retry

    def _collect(self, connection: Connection) -> None:
        """Look at the configuration soon, if the back-end has said that it is another."""
        if connection.config_changed:
            self._timer.set(_COLLECT)

    def _lose(self, error: BackendError) -> Event:
        """Give up a back-end that has hung up or talks nonsense; what that means."""
        self._part(_RETRY)
        if self._goes_on:
            return Event(What.AWAY, f"{error}: waiting for it to come back")
        self._forget()
        return Event(What.FAILED, str(error))

    @property
    def _goes_on(self) -> bool:
        """Whether another back-end can go on with what is wanted."""
        wanted = self._wanted
        return wanted is None or not wanted.begun or wanted.inflight is not None

    def _part(self, retry: float) -> bool:
        """Hang up, and :meth:`_drop` it, if it hangs up too; whether it is known to be gone.

        One that has queues and does not hang up may still write to them: it is waited for.
        """
        if self._session is None or not self._plugged:
            self._drop(retry)
            return True
        connection = self._session.connection
        connection.limit()
        if connection.part():
            self._drop(retry)
            return True
        self._session, self._stuck, self._plugged = None, connection, False
        connection.close_requests()
        self._epoll.modify(connection, 0)  # that it hangs up is told all the same
        self._timer.stop()
        return False

    def _drop(self, retry: float) -> None:
        """Hang up, and try to reach the back-end again after *retry* seconds."""
        if self._session is not None:
            self._session.connection.close()
        if self._asked is not None:
            self._asked.close()
        self._session = self._asked = None
        self._plugged = False
        self._timer.set(retry)

    def _forget(self) -> None:
        """Want nothing served any more."""
        if self._wanted is not None:
            for each in self._wanted.errors.values():
                # Close alone does not do: the back-end has the same eventfd.
                with contextlib.suppress(FileNotFoundError):  # it was signalled
                    self._epoll.unregister(each)
            self._wanted.close()
        self._wanted = None
        self._plugged = False

    def _meet(self, connection: Connection) -> Session:
        """Learn what the back-end is, and wait for what it says from now on."""
        session = Session(connection, self._target)
        self._offered = session.offered
        self._session, self._asked = session, None
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
        if connection.requests is not None:
            self._epoll.register(connection.requests, select.EPOLLIN)
        self._timer.stop()
        return session

    def _plug(self, session: Session, wanted: Wanted) -> None:
        self._plugged = True
        session.plug(wanted)
        self._collect(session.connection)

    def _unplug(self, session: Session, wanted: Wanted) -> None:
        """Have the back-end leave the queues: by what it is told, or else by hanging up."""
        try:
            session.unplug(wanted)
            self._collect(session.connection)
        except BackendError as error:
            if not self._part(0):
                raise BackendError(
                    f"{error}, and does not hang up: it may still write to the device's memory",
                    hint="end the back-end",
                ) from error
