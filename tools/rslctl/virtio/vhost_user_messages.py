# SPDX-License-Identifier: BSD-3-Clause
"""The messages of the vhost-user protocol, and a connection to a back-end that speaks it.

The protocol is that of docs/interop/vhost-user.rst of QEMU. Numbers have the byte order of the
machine. Nothing that a back-end sends is believed: each answer is checked, and waited for no longer
than :attr:`Connection.deadline`.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from rslctl.errors import os_error
from rslctl.linux import fd_passing, signals
from rslctl.virtio.backend import BackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: How long an exchange may take until the last answer is there, in seconds.
LIMIT = 5.0

# Requests of the front-end.
GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
SET_BACKEND_REQ_FD = 21
GET_CONFIG = 24
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32

#: The request of a back-end that says that its configuration is another.
BACKEND_CONFIG_CHANGE = 2

#: The feature bit that says that there are protocol features.
PROTOCOL_FEATURES = 1 << 30

# Protocol features.
MQ = 1 << 0
REPLY_ACK = 1 << 3
BACKEND_REQ = 1 << 5
CONFIG = 1 << 9
INFLIGHT_SHMFD = 1 << 12

#: The header: request, flags, size of what follows.
HEADER = struct.Struct("=3I")
U64 = struct.Struct("=Q")
#: A vring state: index, num.
STATE = struct.Struct("=2I")
#: A vring address: index, flags, descriptor, used, available, log.
ADDRESS = struct.Struct("=2I4Q")
#: Memory of one region: number of regions, padding; guest address, size, user address, offset.
MEMORY = struct.Struct("=2I4Q")
#: What precedes a configuration: offset, size, flags.
CONFIG_HEADER = struct.Struct("=3I")
#: An inflight description: size and offset of the mapping, number and size of queues. C pads it.
INFLIGHT = struct.Struct("=2Q2H4x")

_VERSION = 1
_REPLY = 1 << 2
_NEED_REPLY = 1 << 3
_VERSION_AND_REPLY = 0b111

#: More than any request of a back-end has.
_REQUEST_MAX = 4096
#: The size of sun_path in struct sockaddr_un, with its final zero: unix(7).
_PATH_MAX = 108


class LostError(BackendError):
    """The back-end is not there, has hung up, or does not answer in time."""


class Connection:
    """A connection to a back-end."""

    def __init__(self, path: str) -> None:
        """Connect to the socket *path*.

        Raises:
            LostError: nobody listens there, or it cannot be connected to.
        """
        if len(os.fsencode(path)) >= _PATH_MAX:
            raise BackendError(
                f"'{path}' has {len(os.fsencode(path))} bytes, the path of a socket has "
                f"{_PATH_MAX - 1} at most"
            )
        self._path = path
        #: When to wait no longer, by time.monotonic().
        self.deadline = time.monotonic() + LIMIT
        #: Whether the back-end answers each message, if it is asked to.
        self.acknowledges = False
        #: Whether the back-end has said that its configuration is another.
        self.config_changed = False
        #: What the back-end sends its own requests to.
        self.requests: socket.socket | None = None
        self._request = b""
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise LostError(str(os_error(f"connect to {self.name}", error))) from error
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            hint = "start the back-end first"
            if isinstance(error, PermissionError):
                hint = "let this process write to the socket: its owner, group and mode"
            reason = os.strerror(error.errno) if error.errno else str(error)
            what = f"cannot connect to the back-end at '{path}': {reason}"
            raise LostError(what, hint=hint) from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        self.close_requests()

    def close_requests(self) -> None:
        if self.requests is not None:
            self.requests.close()
        self.requests = None

    def limit(self) -> None:
        """Begin an exchange: wait for no answer of it longer than LIMIT from now on."""
        self.deadline = time.monotonic() + LIMIT

    def tell(self, request: int, data: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send a message, and see that the back-end has taken it, if it says so.

        Raises:
            BackendError: it refuses, or answers wrongly.
            LostError: it has hung up, or does not answer.
        """
        self.send(request, data, fds, _NEED_REPLY if self.acknowledges else 0)
        if self.acknowledges:
            (result,) = U64.unpack(self.answer(request, U64.size)[0])
            if result:
                raise BackendError(f"{self.name} refuses message {request}: error {result}")

    def ask(self, request: int, data: bytes = b"", *, size: int = U64.size) -> bytes:
        """Ask for *size* bytes. Raises as :meth:`tell`."""
        self.send(request, data)
        return self.answer(request, size)[0]

    def ask_number(self, request: int) -> int:
        """Ask for a number of 64 bits. Raises as :meth:`tell`."""
        (number,) = U64.unpack(self.ask(request))
        return int(number)

    def ask_config(self, size: int) -> bytes:
        """Ask for the first *size* bytes of the configuration; none if it has not so many.

        Raises as :meth:`tell`.
        """
        self.send(GET_CONFIG, CONFIG_HEADER.pack(0, size, 0) + bytes(size))
        # An answer without bytes tells of an error. rust-vmm's vhost sends its header then.
        whole = CONFIG_HEADER.size + size
        data, _ = self.answer(GET_CONFIG, whole, CONFIG_HEADER.size, 0)
        if len(data) < whole:
            return b""
        if CONFIG_HEADER.unpack_from(data)[:2] != (0, size):
            raise BackendError(f"{self.name} answers with another part of its configuration")
        return data[CONFIG_HEADER.size :]

    def ask_inflight(self, queues: int, queue_size: int) -> tuple[bytes, int]:
        """Ask for a buffer that keeps what is in flight: its description, and its descriptor.

        The descriptor is the caller's. Raises as :meth:`tell`.
        """
        self.send(GET_INFLIGHT_FD, INFLIGHT.pack(0, 0, queues, queue_size))
        data, fds = self.answer(GET_INFLIGHT_FD, INFLIGHT.size, most=1)
        size, _, number, length = INFLIGHT.unpack(data)
        if len(fds) == 1 and size and (number, length) == (queues, queue_size):
            return data, fds[0]
        for fd in fds:
            os.close(fd)
        raise BackendError(f"{self.name} gives no buffer for what is in flight in {queues} queues")

    def send(
        self, request: int, data: bytes = b"", fds: Sequence[int] = (), flags: int = 0
    ) -> None:
        """Send a message and wait for nothing.

        Raises:
            LostError: the back-end has hung up, or takes no more messages.
        """
        message = HEADER.pack(request, _VERSION | flags, len(data)) + data
        try:
            sent = socket.send_fds(self._socket, [message], list(fds))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._lost(error) from error
        if sent < len(message):
            raise LostError(f"{self.name} takes no more messages")

    def answer(self, request: int, *sizes: int, most: int = 0) -> tuple[bytes, list[int]]:
        """Read the answer to *request*, of one of *sizes*, with *most* descriptors at most.

        Raises as :meth:`tell`.
        """
        fds: list[int] = []
        try:
            head, flags, size = HEADER.unpack(self._read(HEADER.size, most, fds))
            right = head == request and flags & _VERSION_AND_REPLY == _VERSION | _REPLY
            if not right or size not in sizes:
                raise BackendError(
                    f"{self.name} answers message {request} with message {head}, flags "
                    f"{flags:#x}, {size} bytes"
                )
            return self._read(size, most, fds), fds
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise

    def _read(self, size: int, most: int, fds: list[int]) -> bytes:
        data = b""
        while len(data) < size:
            self._wait()
            try:
                part, got = fd_passing.receive(self._socket, size - len(data), most)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost(error) from error
            fds += got
            if not part:
                raise self._lost()
            data += part
        return data

    def _wait(self) -> None:
        """Wait until there is something to read, and serve the back-end's requests meanwhile."""
        while True:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if self.requests is not None:
                poll.register(self.requests, select.POLLIN)
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise LostError(f"{self.name} does not answer in {LIMIT:g} s")
            with signals.heard():
                ready = [fd for fd, _ in poll.poll(left * 1000 + 1)]
            if self.requests is not None and self.requests.fileno() in ready:
                self.serve()
            if self._socket.fileno() in ready:
                return

    def check(self) -> None:
        """See that the back-end has not hung up, and has sent nothing.

        Raises:
            LostError: it has hung up.
            BackendError: it has sent what nobody has asked for.
        """
        try:
            data = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost()
        raise BackendError(f"{self.name} sends what nobody has asked for")

    def part(self) -> bool:
        """Have the back-end hang up; whether it has, which means that it has left the queues.

        Waits until the deadline, however much it sends.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while True:
                self._wait()
                if not self._socket.recv(_REQUEST_MAX):
                    return True
        except LostError:
            return False
        except OSError:
            return True

    def take_requests(self) -> None:
        """Give the back-end a socket for its own requests.

        Raises:
            LostError: it has hung up, or the process has no room for the socket.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise self._lost(error) from error
        with theirs:
            ours.setblocking(False)
            self.requests = ours
            self.send(SET_BACKEND_REQ_FD, fds=[theirs.fileno()])

    def serve(self) -> None:
        """Answer the requests that the back-end has sent.

        Descriptors that come with them are not taken. Once it sends nonsense, or reads no answers,
        it is heard no more.
        """
        if self.requests is None:
            return
        try:
            part = self.requests.recv(_REQUEST_MAX)
            self._request += part
            if not part or not self._serve_all(self.requests):
                self.close_requests()
        except BlockingIOError:
            pass
        except OSError:
            self.close_requests()

    def _serve_all(self, requests: socket.socket) -> bool:
        """Answer each whole request; whether they make sense, and the answers are read."""
        while len(self._request) >= HEADER.size:
            request, flags, size = HEADER.unpack_from(self._request)
            if size > _REQUEST_MAX or flags & _VERSION_AND_REPLY != _VERSION:
                return False
            if len(self._request) < HEADER.size + size:
                break
            self._request = self._request[HEADER.size + size :]
            known = request == BACKEND_CONFIG_CHANGE
            self.config_changed |= known
            if flags & _NEED_REPLY:
                answer = HEADER.pack(request, _VERSION | _REPLY, U64.size) + U64.pack(not known)
                if not _sent(requests, answer):
                    return False
        return True

    @property
    def name(self) -> str:
        """What it is in sentences."""
        return f"the back-end at '{self._path}'"

    def _lost(self, error: OSError | None = None) -> LostError:
        if error is None or isinstance(error, (BrokenPipeError, ConnectionResetError)):
            return LostError(f"{self.name} has hung up")
        return LostError(f"cannot talk to {self.name}: {error.strerror}")


def _sent(requests: socket.socket, answer: bytes) -> bool:
    """Send an answer, for which there is room unless the others are not read."""
    try:
        return requests.send(answer) == len(answer)
    except BlockingIOError:
        return False
