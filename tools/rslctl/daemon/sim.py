# SPDX-License-Identifier: BSD-3-Clause
"""A link without hardware: two programs play the daemon and the remote.

Each program gets the descriptors that a daemon of a real link gets with ``--eventfd``. A kick of
one program is a notification of the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from rslctl.daemon import descriptors, execute
from rslctl.errors import RslError, UsageError
from rslctl.profile.model import Board, Link

#: The signals that are passed on to the daemon, as if it had been started without rslctl.
_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_WATCHED = _FORWARDED | {signal.SIGCHLD, signal.SIGIO}

#: si_code of a signal that the terminal sent, also to the daemon (sigaction(2)).
_SI_KERNEL = 0x80

#: struct ucred, unix(7).
_UCRED = struct.Struct("=iII")

#: Seconds that a program has to end after SIGTERM.
_GRACE = 5.0


@dataclass(frozen=True)
class Program:
    """The program of one side."""

    command: Sequence[str]
    env: dict[str, str]
    who: execute.User | None = None
    #: Descriptors beside those of the link, by name.
    more: Mapping[str, int] = field(default_factory=dict)


def words(text: str) -> list[str]:
    """Split a command line into words as a shell does, without a shell.

    Raises:
        UsageError: a quotation does not end, or the command line is empty.
    """
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--remote {text!r}: {error}") from error
    if not found:
        raise UsageError("--remote: the command is empty")
    return found


class _Pair:
    """The two programs while they run."""

    def __init__(self, note: Callable[[str], None], uids: set[int]) -> None:
        self._note = note
        #: The users that may say that the daemon is ready.
        self._uids = uids
        self._pids: dict[int, str] = {}
        #: The socket on which the daemon says that it is ready: sd_notify(3).
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._ready.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._ready.bind("")  # the kernel chooses a name
        fcntl.fcntl(self._ready, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._ready, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)

    @property
    def notify_socket(self) -> str:
        """The value of NOTIFY_SOCKET."""
        name: bytes = self._ready.getsockname()
        return "@" + name[1:].decode()

    def start(self, name: str, program: Program, offered: descriptors.Offer) -> None:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            _become(program, offered, alone=name == "remote")
        self._pids[pid] = name

    def tell(self, name: str, number: int) -> None:
        """Send a signal to the program *name*, if it runs."""
        for pid, each in self._pids.items():
            if each == name:
                os.kill(pid, number)

    def events(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the status of each program that ends, and "ready" for READY=1."""
        while True:
            got = signal.sigwaitinfo(_WATCHED)
            if got.si_signo == signal.SIGCHLD:
                yield from self._reap()
            elif got.si_signo == signal.SIGIO:
                while self._is_ready():
                    yield "ready", 0
            elif not self._has_got(got):
                self.tell("daemon", got.si_signo)

    def _is_ready(self) -> bool:
        """Whether an allowed user has sent READY=1 since the last call."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text, ancillary, _, _ = self._ready.recvmsg(4096, socket.CMSG_SPACE(_UCRED.size))
                uids = [_UCRED.unpack(data[: _UCRED.size])[1] for _, _, data in ancillary]
                if b"READY=1" in text.split(b"\n") and uids and uids[0] in self._uids:
                    return True
        return False

    def _has_got(self, got: signal.struct_siginfo) -> bool:
        """Whether the daemon got this signal, too, from the shared terminal."""
        if got.si_code != _SI_KERNEL or got.si_signo == signal.SIGHUP:
            return False  # only the leader of a session gets a hang-up
        pids = [pid for pid, name in self._pids.items() if name == "daemon"]
        return all(os.getpgid(pid) == os.getpgrp() for pid in pids)

    def _reap(self) -> Iterator[tuple[str, int]]:
        for pid in list(self._pids):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                yield self._pids.pop(pid), code if code >= 0 else 128 - code

    def end(self) -> None:
        """End the programs that still run."""
        self._ready.close()
        deadline = time.monotonic() + _GRACE
        list(self._reap())  # programs that ended together with the other
        for name in self._pids.values():
            self.tell(name, signal.SIGTERM)
        while self._pids and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
            list(self._reap())
        for name in self._pids.values():
            self._note(f"the {name} does not end: killing it")
            self.tell(name, signal.SIGKILL)
        while self._pids:
            signal.sigwaitinfo({signal.SIGCHLD})
            list(self._reap())


def _become(program: Program, offered: descriptors.Offer, *, alone: bool) -> NoReturn:
    """Execute one of the programs. An *alone* one shares only the output with the terminal."""
    try:
        if alone:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        execute.become(
            program.command,
            offered,
            program.who,
            program.env,
            more=program.more,
            with_parent=True,
        )
    except (RslError, OSError) as error:
        os.write(2, f"rslctl: {error}\n".encode())
    finally:
        os._exit(127)


@contextlib.contextmanager
def _watching_signals() -> Iterator[None]:
    """Leave signals to sigwaitinfo(2)."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    before = signal.signal(
        signal.SIGCHLD, lambda *_: None
    )  # an ignored SIGCHLD would reap the programs
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
        # If a daemon says READY=1 and ends, its SIGIO is still pending, and would end this process.
        while signal.sigtimedwait({signal.SIGIO}, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def run(
    board: Board,
    link: Link,
    daemon: Program,
    remote: Program,
    *,
    once_ready: bool,
    with_remote: bool,
    note: Callable[[str], None],
) -> int:
    """Run both programs until the daemon ends, or *with_remote* until one of them ends.

    The remote starts with the daemon. If *once_ready* is true, it starts when the daemon says
    READY=1. Signals are passed on to the daemon. The program that is left gets SIGTERM.

    Returns the exit status of the program that ended; 128 plus the number of the signal that
    killed it.

    Raises:
        RslError: the link cannot be made, or a program cannot be executed.
    """
    for each in (daemon, remote):
        execute.find_program(each.command)
    with _watching_signals():
        uids = {0, os.geteuid(), daemon.who.uid if daemon.who else 0}
        pair = _Pair(note, uids)
        daemon.env["NOTIFY_SOCKET"] = pair.notify_socket
        remote.env.pop("NOTIFY_SOCKET", None)  # only the daemon reports to our service manager
        for_daemon, for_remote = descriptors.of_programs(board, link)
        try:
            with for_daemon, for_remote:
                pair.start("daemon", daemon, for_daemon)
                if not once_ready:
                    pair.start("remote", remote, for_remote)
                started = not once_ready
                for what, code in pair.events():
                    if what == "ready":
                        if not started:
                            pair.start("remote", remote, for_remote)
                            started = True
                    elif what == "daemon" or with_remote:
                        return code
                    else:
                        note(f"the remote has ended with status {code}")
        finally:
            pair.end()
        raise AssertionError("events do not end")
