# SPDX-License-Identifier: BSD-3-Clause
"""What the control process wants of a back-end: the kernel's, another process, or built in."""

from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass

from rslctl.errors import RslError
from rslctl.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from rslctl.virtio.engine import Queue
else:
    Protocol = object


class BackendError(RslError):
    """A back-end is not there, refuses, or answers what it must not."""


class What(enum.Enum):
    """What has happened to a back-end."""

    #: It serves its queues no more: the device needs a reset. It has to be stopped; the next start
    #: has it serve anew, if it can.
    FAILED = "failed"
    #: Its configuration is another: ask for it.
    CONFIG = "config"
    #: It went away, and is waited for. It is neither stopped nor started, but before it is asked
    #: again its queues have other eventfds, which are signalled: who went may still have the old.
    AWAY = "away"
    #: It is back after AWAY, and serves again what was started before. It is neither stopped nor
    #: started: it goes on where it was, and the driver notices nothing.
    AGAIN = "again"


@dataclass(frozen=True)
class Event:
    """What has happened to a back-end, and why: a sentence without its full stop."""

    what: What
    reason: str = ""


@dataclass
class Wired:
    """A queue that the driver has set up, and the eventfds for it, which are non-blocking.

    A back-end that is another process can change that: what it was given is not written to.
    """

    queue: Queue
    #: Signalled when the remote notifies.
    kick: int
    #: Its signal kicks the remote.
    call: int


@dataclass(frozen=True)
class Window:
    """The memory that a back-end gets: all that it can reach."""

    #: Of the memory alone. Who has it can neither kick nor bind eventfds.
    descriptor: int
    #: The offset in the descriptor of the window's first byte: a multiple of the page size.
    offset: int
    #: The addresses at which the remote sees the window.
    seen: Region
    #: The virtual address in this process of the window's first byte. It stays mapped.
    address: int

    def here(self, address: int, size: int) -> int:
        """Return the virtual address in this process of *size* bytes at the remote's *address*.

        Raises:
            BackendError: they are not all in the window.
        """
        if not self.seen.contains(Region(address, size)):
            raise BackendError(
                f"{size} bytes at {address:#x} are not in the memory of the back-end, which is at "
                f"{self.seen.base:#x}, {self.seen.size:#x} bytes"
            )
        return self.address + address - self.seen.base

    def used_index(self, queue: Queue) -> int:
        """Where the device has arrived in the used ring of a queue.

        Raises:
            BackendError: the ring is not in the window.
        """
        return self._used_index(queue).value

    def clear_used(self, queue: Queue) -> None:
        """Write that nothing of a new queue is used.

        The driver has done so. But a back-end that served the driver before, and was stopped since,
        may have written there later.

        Raises:
            BackendError: the ring is not in the window.
        """
        self._used_index(queue).value = 0

    def _used_index(self, queue: Queue) -> ctypes.c_uint16:
        """The index of struct vring_used: VIRTIO 1.2, section 2.7.8."""
        return ctypes.c_uint16.from_address(self.here(queue.used + 2, 2))


class Backend(Protocol):
    """A back-end: it serves the queues of one device while it is started."""

    #: The virtio device id.
    device_id: int
    #: The largest size of each queue.
    queues: tuple[int, ...]
    #: Whether start(), stop() and ready() may wait for another process, for seconds.
    waits: bool

    @property
    def away(self) -> bool:
        """Whether it is not there and waited for: what is started is served when it is back."""

    def offered(self) -> int:
        """The features that it offers, 64 bits."""

    def config(self) -> bytes:
        """The configuration of the device, as the back-end last told it."""

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        """Serve *queues*, of which each is new, for a driver that has taken *features*.

        The descriptors are the caller's, and have to stay open until :meth:`stop` has returned.

        Raises:
            BackendError: it cannot. Nothing has started then.
        """

    def stop(self) -> None:
        """Have it leave the queues, and give back everything of :meth:`start`.

        When it returns the back-end touches the queues no more. It may be called at any time.

        Raises:
            BackendError: the back-end does not tell that it has stopped. All else is given back.
        """

    def watch(self) -> dict[int, int]:
        """The descriptors to wait for, each with its EPOLL events; ask again after each event."""

    def ready(self, fd: int, events: int) -> Event | None:
        """Handle *events* of a descriptor of :meth:`watch`."""

    def close(self) -> None:
        """Stop it, and close all that it has opened. It may be called again. Raises nothing."""


#: Indirect tables, event indices and VERSION_1: what each back-end of split queues has the device
#: offer, if it does. VIRTIO 1.2, section 6. ANY_LAYOUT (27) is VHOST_NET_F_VIRTIO_NET_HDR to
#: vhost-net, and PROTOCOL_FEATURES (30) is the vhost-user protocol's: neither is for a driver.
VERSION_1 = 1 << 32
RINGS = 1 << 28 | 1 << 29 | VERSION_1

#: The bits of a device type: VIRTIO 1.2, section 2.2.
_OF_DEVICE = (1 << 24) - 1 | (1 << 64) - (1 << 50)

#: The first bits of :data:`_OF_DEVICE` that are not for a driver, by device id, because they want
#: what is not there: a control queue (net), writes to the configuration or more queues (blk,
#: console), a queue of notifications (fs).
_WITHOUT = {
    1: 1 << 2 | 1 << 3 | 1 << 5 | 1 << 16 | 0b111_1111 << 17 | (1 << 64) - (1 << 50),
    2: 1 << 11 | 1 << 12,
    3: 1 << 1,
    26: 1 << 0,
}


def for_driver(device_id: int, features: int) -> int:
    """The bits of a back-end's *features* that a driver of such a device may be offered."""
    return features & (_OF_DEVICE | RINGS) & ~_WITHOUT.get(device_id, 0)
