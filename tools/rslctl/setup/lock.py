# SPDX-License-Identifier: BSD-3-Clause
"""The lock around setup, teardown, and the start and stop of remotes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from rslctl.errors import WaitTimeoutError, os_error
from rslctl.linux import atomic, trust
from rslctl.linux.host import Host
from rslctl.setup.journal import STATE, TMPFS

_LOCK = f"{STATE}/lock"


@contextlib.contextmanager
def locked(host: Host, timeout: float, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock; wait up to *timeout* seconds for another process that holds it.

    *note* is called with a message before the wait. The lock is a file in the state directory of
    the running machine. It is the top directory of any other root, in which nothing is left.

    Raises:
        WaitTimeoutError: another process still holds the lock; the message names the process.
        RslError: the state directory or the lock file cannot be created.
    """
    try:
        fd = _open(host)
    except OSError as error:
        hint = TMPFS if error.errno in (errno.EROFS, errno.ENOSPC, errno.ENOENT) else ""
        raise os_error(f"lock '{host.where(STATE)}'", error, hint=hint) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _wait(fd, timeout, note)
        for name in host.names(STATE):
            if name.startswith(".") and name.endswith(atomic.SUFFIX):  # of a killed process
                host.remove(f"{STATE}/{name}")
        yield
    finally:
        if not host.live:
            with contextlib.suppress(OSError):  # setup has a journal in it, or never made it
                host.remove_directory(STATE)
        os.close(fd)


def _open(host: Host) -> int:
    """Open what is locked."""
    if not host.live:
        trust.check_own(host, STATE)
        return host.open("/", os.O_RDONLY | os.O_DIRECTORY)
    _make_state(host)
    # Only root may open the lock, so no other user can hold it.
    return host.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _make_state(host: Host) -> None:
    """Make the state directory, which all users may read whatever the umask: for status."""
    mask = os.umask(0o022)
    try:
        host.make_directory(STATE, 0o755)
    except FileExistsError:
        trust.check_own(host, STATE)
    finally:
        os.umask(mask)


class _LateError(Exception):
    pass


def _wait(fd: int, timeout: float, note: Callable[[str], None]) -> None:
    """Wait for the lock; SIGALRM ends the wait after *timeout* seconds."""

    def late(_: int, __: FrameType | None) -> None:
        raise _LateError

    holder = _holder(fd)
    if timeout:
        note(f"waiting for {holder} to end, up to {timeout:g} s")
        before = signal.signal(signal.SIGALRM, late)
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout)
            fcntl.flock(fd, fcntl.LOCK_EX)
            return
        except _LateError:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    raise WaitTimeoutError(
        f"another rslctl setup or teardown is under way: {holder}",
        hint="try again when it is done, or give it more time with --timeout",
    )


def _holder(fd: int) -> str:
    """The process that holds the lock, as text: proc_locks(5)."""
    state = os.fstat(fd)
    name = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
        held = [line.split() for line in lines if "->" not in line]
        pid = next(words[4] for words in held if words[5] == name)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, StopIteration, IndexError):
        return "a process that cannot be seen"
    return f"process {pid} ({' '.join(command.split(chr(0))).strip()})"
