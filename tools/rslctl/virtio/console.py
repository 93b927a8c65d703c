# SPDX-License-Identifier: BSD-3-Clause
"""The console device, built in: virtio 1.2, section 5.3, with one port and no size.

Output waits in the remote's transmit queue while its reader does not read, and input waits at its
writer while the remote has no buffer for it. A console that nobody listens to drops its output, as
a character device of QEMU does.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

from rslctl.errors import UsageError
from rslctl.virtio.backend import Wired
from rslctl.virtio.built_in import BuiltIn
from rslctl.virtio.ends import End, Stdio, UnixSocket
from rslctl.virtio.memory import Memory
from rslctl.virtio.rings import Chain
from rslctl.virtio.terminal import PseudoTerminal

_RECEIVE, _TRANSMIT = range(2)

#: struct virtio_console_config: cols, rows, max_nr_ports, emerg_wr.
_CONFIG_SIZE = 12

#: The most bytes that are read or written at once, and how often that is done in each direction
#: before other devices have their turn.
PIECE = 4096
PIECES = 16


def choose_end(*, socket: str | None = None, pty: str | None = None) -> End:
    """The end that the options of a console name: a path, or none for standard input and output.

    Raises:
        UsageError: both are given.
        BackendError: the end cannot be made.
    """
    if socket is not None and pty is not None:
        raise UsageError("console: socket= and pty= exclude each other")
    if socket is not None:
        return UnixSocket(socket)
    return Stdio() if pty is None else PseudoTerminal(pty)


class ConsoleBackend(BuiltIn):
    """A console device with *end* at its other side, which belongs to it from now on."""

    device_id = 3
    queues: tuple[int, ...] = (128, 128)

    def __init__(self, memory: Memory, barrier: Callable[[], None], end: End) -> None:
        super().__init__(memory, barrier)
        self._end = end
        self._opened.callback(end.close)
        #: A buffer for input, and a chain with output of which so many bytes are written.
        self._buffer: Chain | None = None
        self._output: Chain | None = None
        self._written = 0

    def config(self) -> bytes:
        return bytes(_CONFIG_SIZE)

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        self._buffer = self._output = None
        super().start(features, queues)

    def watch(self) -> dict[int, int]:
        return {**super().watch(), self._end.fileno(): select.EPOLLIN}

    def _work(self) -> bool:
        self._end.quiet()
        sending, receiving = self._transmit(), self._receive()
        if not receiving:
            self._end.settle()
        return sending or receiving

    def _transmit(self) -> bool:
        """Write what the remote sends; return whether there may be more to write at once."""
        queue = self._served.get(_TRANSMIT)
        if queue is None:
            return False
        for _ in range(PIECES):
            if self._output is None:
                self._output, self._written = queue.pop(), 0
                if self._output is None:
                    return False
            data = queue.gather(self._output, self._written, PIECE)
            if data:
                taken = self._end.write(data)
                if not taken:
                    return False
                self._written += taken
            if self._written == self._output.length:
                queue.push(self._output, 0)
                self._output = None
        return True

    def _receive(self) -> bool:
        """Read into the remote's buffers; return whether there may be more to read at once."""
        queue = self._served.get(_RECEIVE)
        if queue is None:
            return False
        for _ in range(PIECES):
            self._buffer = self._buffer or queue.pop()
            if self._buffer is None:
                return False
            room = min(self._buffer.room, PIECE)
            data = self._end.read(room) if room else b""
            if room and not data:
                return False
            queue.scatter(self._buffer, data)
            queue.push(self._buffer, len(data))
            self._buffer = None
        return True
