# SPDX-License-Identifier: BSD-3-Clause
"""The far ends of a console: standard input and output, or a Unix socket. terminal.py has another.

An end never blocks. Its descriptors are watched by an epoll descriptor of its own, which becomes
readable whenever one of them changes (EPOLLET), so that input that nobody takes wakes nobody twice.
Who is woken calls quiet(), then writes and reads until there is no more, and then calls settle().
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
from abc import ABC, abstractmethod

from rslctl.errors import os_error
from rslctl.virtio.backend import BackendError

#: Clients of a socket that may wait to be accepted, or refused.
_BACKLOG = 8

#: What to do about an error.
_IN_USE = "it is in use: take another path, or remove it if nothing needs it"
_HINTS = {
    errno.EADDRINUSE: _IN_USE,
    errno.EEXIST: _IN_USE,
    errno.EACCES: "the user of the daemon must be able to write the directory",
    errno.ENOENT: "make the directory first",
}


class End(ABC):
    """An end; it is to be closed."""

    def __init__(self, action: str) -> None:
        """*action* says what is being done, for errors.

        Raises:
            BackendError: the end cannot be made.
        """
        #: What :meth:`close` has to undo.
        self._opened = contextlib.ExitStack()
        try:
            self._changes = self._opened.enter_context(select.epoll())
            self._open()
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            hint = _HINTS.get(error.errno or 0, "")
            raise BackendError(f"console: {os_error(action, error)}", hint=hint) from error

    @abstractmethod
    def _open(self) -> None:
        """Open the end; :meth:`close` is called if it fails."""

    def _watch(self, fd: int, events: int) -> None:
        self._changes.register(fd, events | select.EPOLLET)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._changes.fileno()

    def quiet(self) -> None:
        """Forget the changes so far: before what they tell of is looked at."""
        self._changes.poll(0)

    def settle(self) -> None:  # noqa: B027 - at most ends nobody comes and goes
        """Let others come and go; what is left of the input of who is gone may be lost."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Input of at most *size* bytes, which is at least 1; nothing if there is none now."""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Write output; return how many bytes were taken: 0 if there is no room now.

        Output that nobody will read is taken, and dropped.
        """

    def close(self) -> None:
        """Close what the end opened. It may be called again."""
        self._opened.close()


class Stdio(End):
    """Standard input and output. A terminal stays in the mode that it has.

    Output is dropped while its reader is gone.
    """

    def __init__(self, given: tuple[int, int] = (0, 1)) -> None:
        """For the descriptors *given*, which stay open."""
        self._given = given
        self._ended = False
        super().__init__("use standard input and output")

    def _open(self) -> None:
        self._input = self._own(self._given[0], os.O_RDONLY, select.EPOLLIN)
        self._output = self._own(self._given[1], os.O_WRONLY, select.EPOLLOUT)

    def _own(self, given: int, access: int, events: int) -> int:
        """A descriptor of the same file that does not block, and is watched."""
        own = os.dup(given)
        self._opened.callback(os.close, own)
        try:
            self._watch(own, events)
        except PermissionError:
            return own  # a file or /dev/null, which never block
        # An open file of its own: others that have the given one do not expect EAGAIN.
        flags = access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            reopened = os.open(f"/proc/self/fd/{given}", flags)
        except OSError:  # a socket, or a pipe or a terminal of another user
            self._opened.callback(os.set_blocking, own, os.get_blocking(own))
            os.set_blocking(own, False)
            return own
        self._opened.callback(os.close, reopened)
        self._changes.unregister(own)
        self._watch(reopened, events)
        return reopened

    def read(self, size: int) -> bytes:
        if self._ended:
            return b""
        try:
            data = os.read(self._input, size)
        except BlockingIOError:
            return b""
        except OSError:  # a terminal that hung up
            data = b""
        if not data:
            self._ended = True
            with contextlib.suppress(PermissionError):  # a file is not watched
                self._changes.unregister(self._input)
        return data

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._output, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)


class UnixSocket(End):
    """A Unix stream socket that listens, mode 0600, with one client at a time.

    The next client is disconnected at once. Output is dropped while there is no client. A client
    that shuts down its side for writing still gets output.
    """

    def __init__(self, path: str) -> None:
        """Listen at *path*, in place of a socket that nobody listens at."""
        self._path = path
        self._client: socket.socket | None = None
        #: Whether all input of the client was read.
        self._ended = False
        super().__init__(f"listen at '{path}'")

    def _open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._opened.enter_context(self._listener)
        self._opened.callback(self._disconnect)
        with contextlib.suppress(FileNotFoundError):
            if _is_stale(self._path):
                os.unlink(self._path)
        before = os.umask(0o177)
        try:
            self._listener.bind(self._path)
        finally:
            os.umask(before)
        self._opened.callback(_unlink, self._path, _identity(self._path))
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._watch(self._listener.fileno(), select.EPOLLIN)

    def settle(self) -> None:
        if self._client and self._ended and hung_up(self._client.fileno()):
            self._disconnect()
        with contextlib.suppress(OSError):
            while True:
                self._meet(self._listener.accept()[0])

    def _meet(self, client: socket.socket) -> None:
        """Have a new client, unless there is one."""
        if self._client and not hung_up(self._client.fileno()):
            client.close()
            return
        self._disconnect()
        client.setblocking(False)
        self._client, self._ended = client, False
        self._watch(client.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _disconnect(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def read(self, size: int) -> bytes:
        if self._client is None or self._ended:
            return b""
        try:
            data = self._client.recv(size)
        except BlockingIOError:
            return b""
        except OSError:  # it went away with output unread
            data = b""
        self._ended = not data
        return data

    def write(self, data: bytes) -> int:
        if self._client is None:
            return len(data)
        try:
            return self._client.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)


def hung_up(fd: int) -> bool:
    """Whether nobody has the other side open."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _is_stale(path: str) -> bool:
    """Whether *path* is a socket that nobody listens at.

    Raises:
        FileNotFoundError: there is nothing.
    """
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _identity(path: str) -> tuple[int, int]:
    """What tells the file at *path* from another that replaces it."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _unlink(path: str, identity: tuple[int, int]) -> None:
    """Remove the file that had the *identity*, if it is still at *path*."""
    with contextlib.suppress(OSError):
        if _identity(path) == identity:
            os.unlink(path)
