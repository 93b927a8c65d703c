# SPDX-License-Identifier: BSD-3-Clause
"""What is said to a vhost-user back-end: who it is, what it is to serve, and that it is to stop."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import VERSION_1, BackendError, for_driver
from rslctl.virtio.registers import CONFIG_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rslctl.virtio.backend import Window, Wired
    from rslctl.virtio.vhost_user_messages import Connection

#: "User addresses" of the protocol are the remote's addresses from here on. Any numbering does, and
#: with this one an address of the wrong kind is found.
_USER = 1 << 56

#: The protocol features that are used.
_PROTOCOL = (
    messages.MQ
    | messages.REPLY_ACK
    | messages.BACKEND_REQ
    | messages.CONFIG
    | messages.INFLIGHT_SHMFD
)

NET = 1
_NET_F_MAC = 1 << 5
_NET_F_MRG_RXBUF = 1 << 15

#: The size of the configuration by device id, as far as back-ends of today have it: VIRTIO 1.2,
#: chapter 5. Of others the most is asked for that the back-end has.
_CONFIG_SIZES = {2: 60, 3: 12, 4: 0, 19: 8, 26: 40, 34: 0, 41: 8}
_CONFIG_TRIES = (CONFIG_SIZE, 64, 32, 16, 8, 4)


@dataclass(frozen=True)
class Target:
    """The device that a back-end is to serve."""

    device_id: int
    #: The number of queues.
    queues: int
    window: Window
    #: The configuration, if it is not the back-end's.
    config: bytes | None = None


@dataclass
class Wanted:
    """What the driver has started."""

    features: int
    queues: tuple[Wired, ...]
    #: Whether a back-end was told of it, and may have begun.
    begun: bool = False
    #: An eventfd by queue that the back-end signals when it cannot go on.
    errors: dict[int, int] = field(default_factory=dict)
    #: The buffer in which the back-end keeps what is in flight, once one that does was plugged in:
    #: its description, and its descriptor.
    inflight: tuple[bytes, int] | None = None

    def close(self) -> None:
        """Close the eventfds, and forget what is in flight. It may be called again."""
        for each in self.errors.values():
            os.close(each)
        self.errors = {}
        if self.inflight is not None:
            os.close(self.inflight[1])
        self.inflight = None

    def check(self, device_id: int) -> None:
        """Raise BackendError if no vhost-user back-end can serve such a driver."""
        if device_id == NET and not self.features & (VERSION_1 | _NET_F_MRG_RXBUF):
            raise BackendError(
                "the driver took neither VERSION_1 nor MRG_RXBUF: its frames have a header of 10 "
                "bytes, and vhost-user back-ends know the one of 12 bytes only",
                hint="serve it with a tap, or let the driver take MRG_RXBUF",
            )


class Session:
    """A back-end that has told what it is."""

    def __init__(self, connection: Connection, target: Target) -> None:
        """Learn what the back-end is; it was sent GET_FEATURES already.

        The connection stays the caller's.

        Raises:
            LostError: it hangs up, or does not answer in time.
            BackendError: it answers wrongly, or is no back-end of this device.
        """
        self.connection = connection
        self._target = target
        self._name = connection.name
        (features,) = messages.U64.unpack(connection.answer(messages.GET_FEATURES, 8)[0])
        self._features = int(features)
        self._protocol = 0
        if self._features & messages.PROTOCOL_FEATURES:
            self._negotiate()
        connection.send(messages.SET_OWNER)
        #: The configuration that it told last.
        self.config = self.ask_config()

    def _negotiate(self) -> None:
        connection = self.connection
        protocol = connection.ask_number(messages.GET_PROTOCOL_FEATURES) & _PROTOCOL
        if not protocol & messages.CONFIG:
            protocol &= ~messages.BACKEND_REQ
        connection.send(messages.SET_PROTOCOL_FEATURES, messages.U64.pack(protocol))
        if protocol & messages.MQ:
            # Back-ends of net count pairs of queues, as net_vhost_user_start() of QEMU does.
            need = 1 if self._target.device_id == NET else self._target.queues
            count = connection.ask_number(messages.GET_QUEUE_NUM)
            if count < need:
                raise BackendError(f"{self._name} serves {count} queues, the device has {need}")
        if protocol & messages.BACKEND_REQ:
            connection.take_requests()
        self._protocol = protocol

    @property
    def offered(self) -> int:
        """Its features for a driver; for net the address too, where it is configured."""
        device_id = self._target.device_id
        mac = _NET_F_MAC if device_id == NET and self._target.config else 0
        return for_driver(device_id, self._features) | mac

    def ask_config(self) -> bytes:
        """Ask for the configuration.

        Raises as the constructor.
        """
        if self._target.config is not None:
            return self._target.config
        device_id = self._target.device_id
        size = _CONFIG_SIZES.get(device_id)
        if size is None:
            tries: Sequence[int] = _CONFIG_TRIES
        else:
            tries = (size,) if size else ()
        for each in tries if self._protocol & messages.CONFIG else ():
            config = self.connection.ask_config(each)
            if config:
                return config
        if size:
            raise BackendError(
                f"{self._name} tells no configuration of {size} bytes, and a device of id "
                f"{device_id} has one",
                hint="is it a back-end of this device?",
            )
        return b""

    def plug(self, wanted: Wanted) -> None:
        """Have it serve what is *wanted*, from where the last back-end has arrived.

        Raises as the constructor.
        """
        connection = self.connection
        connection.limit()
        protocol = self._features & messages.PROTOCOL_FEATURES
        missing = wanted.features & ~self.offered
        if missing:
            raise BackendError(
                f"{self._name} does not offer features {missing:#x} any more, which the driver "
                "took",
                hint="start rslctl virtio anew",
            )
        # It gets VERSION_1 whatever the driver took, as libvhost-user insists on it: the rings and
        # the configuration of an older driver are the same on a little-endian machine.
        features = (wanted.features | VERSION_1) & self._features
        connection.send(messages.SET_FEATURES, messages.U64.pack(features | protocol))
        # A back-end that broke when it was stopped, with requests that it had, hangs up now.
        connection.ask(messages.GET_FEATURES)
        wanted.begun = True
        connection.acknowledges = bool(self._protocol & messages.REPLY_ACK)
        self._plug_inflight(wanted)
        window = self._target.window
        seen = window.seen
        memory = (1, 0, seen.base, seen.size, _USER + seen.base, window.offset)
        connection.tell(messages.SET_MEM_TABLE, messages.MEMORY.pack(*memory), [window.descriptor])
        for each in wanted.queues:
            self._plug_queue(each, wanted.errors[each.queue.index])
        for each in wanted.queues if protocol else ():
            connection.tell(messages.SET_VRING_ENABLE, messages.STATE.pack(each.queue.index, 1))
        # It answers in order: it has taken all that precedes, and not hung up.
        connection.ask(messages.GET_FEATURES)

    def _plug_inflight(self, wanted: Wanted) -> None:
        if not self._protocol & messages.INFLIGHT_SHMFD:
            if wanted.inflight is not None:
                raise BackendError(f"{self._name} cannot go on with what is in flight any more")
            return
        if not wanted.queues:
            return
        if wanted.inflight is None:
            queues = [each.queue for each in wanted.queues]
            count = max(each.index for each in queues) + 1
            size = max(each.size for each in queues)
            wanted.inflight = self.connection.ask_inflight(count, size)
        description, fd = wanted.inflight
        self.connection.tell(messages.SET_INFLIGHT_FD, description, [fd])

    def _plug_queue(self, wired: Wired, error: int) -> None:
        queue, tell, state = wired.queue, self.connection.tell, messages.STATE.pack
        number = messages.U64.pack(queue.index)
        base = self._target.window.used_index(queue)
        parts = (_USER + queue.desc, _USER + queue.used, _USER + queue.avail)
        tell(messages.SET_VRING_NUM, state(queue.index, queue.size))
        tell(messages.SET_VRING_BASE, state(queue.index, base))
        tell(messages.SET_VRING_ADDR, messages.ADDRESS.pack(queue.index, 0, *parts, 0))
        tell(messages.SET_VRING_ERR, number, [error])
        tell(messages.SET_VRING_CALL, number, [wired.call])
        tell(messages.SET_VRING_KICK, number, [wired.kick])  # starts the queue

    def unplug(self, wanted: Wanted) -> None:
        """Have it leave the queues.

        Raises as the constructor: it may use them still, unless it has hung up.
        """
        connection = self.connection
        connection.limit()
        queues = [each.queue for each in wanted.queues]
        for queue in queues if self._features & messages.PROTOCOL_FEATURES else ():
            connection.tell(messages.SET_VRING_ENABLE, messages.STATE.pack(queue.index, 0))
        arrived = [self._take_back(queue.index) for queue in queues]
        # Once all queues are stopped, a back-end must not touch the memory any more. But
        # block/export/vhost-user-blk-server.c of QEMU 7.2 still ends the requests that it has, and
        # hangs up no sooner than it has ended them.
        used = [self._target.window.used_index(queue) for queue in queues]
        if arrived != used:
            raise BackendError(f"{self._name} has not ended all requests of the queues it left")

    def _take_back(self, index: int) -> int:
        """Stop a queue; the count of the chains that the back-end has taken from it."""
        asked = messages.STATE.pack(index, 0)
        answer = self.connection.ask(messages.GET_VRING_BASE, asked, size=messages.STATE.size)
        stopped, base = messages.STATE.unpack(answer)
        if stopped != index or base > 0xFFFF:
            raise BackendError(f"{self._name} stops queue {stopped} at {base}, not {index}")
        return int(base)
