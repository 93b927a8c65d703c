# SPDX-License-Identifier: BSD-3-Clause
"""The socket of a service, at a path or from the service manager, and the signals that end it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
from pathlib import Path

from rslctl.errors import RslError, os_error
from rslctl.linux import fd_passing, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class _ToldToEnd(BaseException):
    pass


@contextlib.contextmanager
def until_told_to_end() -> Iterator[None]:
    """Leave the block when SIGTERM or SIGINT comes."""

    def end(*_: object) -> None:
        for number in signals.ENDING:  # one signal is enough
            signal.signal(number, signal.SIG_IGN)
        raise _ToldToEnd

    for number in signals.ENDING:
        signal.signal(number, end)
    signals.release()
    with contextlib.suppress(_ToldToEnd):
        yield


def have_many_descriptors() -> None:
    """Let this process have as many descriptors as it may.

    Those that it sent count as its own, too, until they are read: unix(7).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def listening(path: Path, mode: int) -> Iterator[socket.socket]:
    """The socket from the service manager, or a new one at *path* that is removed at the end.

    Its directory has to exist. *mode* is that of the socket's file: who may write may connect.

    Raises:
        RslError: another process serves there, or the socket cannot be made.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        yield _inherited()
        return
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        # A signal in between would leave the socket behind.
        before = signals.hold()
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        try:
            # What is removed is removed from this directory, whatever its name leads to then.
            at = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise os_error(f"listen at '{path}'", error) from error
        stack.callback(os.close, at)
        made = _bind(listener, path, mode, at)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if _inode(path.name, at) == made:
                    os.unlink(path.name, dir_fd=at)


def _inode(name: str, at: int) -> int:
    return os.stat(name, dir_fd=at, follow_symlinks=False).st_ino


def _bind(listener: socket.socket, path: Path, mode: int, at: int) -> int:
    """Bind a socket to *path*, with *mode*, and return the inode of its file.

    *at* is a descriptor of the directory.
    """
    try:
        _make_way(path, at)
        # In the directory of another user, only the mode at the birth is sure to be the
        # socket's: later the name may lead to another file.
        mask = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(socket.SOMAXCONN)
        return _inode(path.name, at)
    except OSError as error:
        raise os_error(f"listen at '{path}'", error) from error


def _inherited() -> socket.socket:
    hint = "the socket unit has one ListenStream="
    count = os.environ.get("LISTEN_FDS")
    if count != "1":
        raise RslError(f"got {count} descriptors from the service manager, not one", hint=hint)
    try:
        given = socket.socket(fileno=fd_passing.START)
        listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise os_error("use the socket of the service manager", error, hint=hint) from error
    if not listens or (given.family, given.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        raise RslError("what the service manager gave is no such socket", hint=hint)
    return given


def _make_way(path: Path, at: int) -> None:
    """Remove a socket that no process listens on, from the directory of descriptor *at*."""
    try:
        if not stat.S_ISSOCK(os.stat(path.name, dir_fd=at, follow_symlinks=False).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.setblocking(False)
        try:
            attempt.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=at)
            return
        except BlockingIOError:
            pass  # its queue is full
    raise RslError(f"another process serves at '{path}'", hint="stop it, or choose another path")
