# SPDX-License-Identifier: BSD-3-Clause
"""A link without hardware: two programs, one as the daemon and one as the remote.

Each is given what a daemon of a real link is given with ``--eventfd``; the kick of one is
the notification of the other.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from rslctl.daemon import descriptors, execute
from rslctl.errors import RslError, UsageError
from rslctl.profile.model import Board, Link

#: Passed on to the daemon, as if it had been started without rslctl.
_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_WATCHED = _FORWARDED | {signal.SIGCHLD, signal.SIGIO}

#: si_code of a signal that the terminal sent, which the daemon has got, too (sigaction(2)).
_SI_KERNEL = 0x80

#: struct ucred, unix(7).
_UCRED = struct.Struct("=iII")

#: Seconds that a program has to end when it is told to.
_GRACE = 5.0


@dataclass(frozen=True)
class Program:
    """What runs on one side."""

    command: Sequence[str]
    env: dict[str, str]
    who: execute.User | None = None


def words(text: str) -> list[str]:
    """The words of a command line as a shell has them, without a shell.

    Raises:
        UsageError: a quotation does not end, or there is no word.
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
        #: Who may say that the daemon is ready.
        self._uids = uids
        self._pids: dict[int, str] = {}
        #: Where the daemon says that it is ready: sd_notify(3).
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
        """Send a signal to one of them, if it runs."""
        for pid, each in self._pids.items():
            if each == name:
                os.kill(pid, number)

    def events(self) -> Iterator[tuple[str, int]]:
        """Who has ended, with its status, and "ready" each time that the daemon says that it is."""
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
        """Whether somebody who may has said that the daemon is ready, since the last call."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text, ancillary, _, _ = self._ready.recvmsg(4096, socket.CMSG_SPACE(_UCRED.size))
                uids = [_UCRED.unpack(data[: _UCRED.size])[1] for _, _, data in ancillary]
                if b"READY=1" in text.split(b"\n") and uids and uids[0] in self._uids:
                    return True
        return False

    def _has_got(self, got: signal.struct_siginfo) -> bool:
        """Whether the daemon has got a signal as well: from the terminal that we share."""
        if got.si_code != _SI_KERNEL or got.si_signo == signal.SIGHUP:
            return False  # of a hang-up only the leader of a session is told
        pids = [pid for pid, name in self._pids.items() if name == "daemon"]
        return all(os.getpgid(pid) == os.getpgrp() for pid in pids)

    def _reap(self) -> Iterator[tuple[str, int]]:
        for pid in list(self._pids):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                yield self._pids.pop(pid), code if code >= 0 else 128 - code

    def end(self) -> None:
        """Have those end that run still."""
        self._ready.close()
        deadline = time.monotonic() + _GRACE
        list(self._reap())  # whose end was told with that of the other
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
    """Become one of them; *alone* is who has nothing of the terminal but its output."""
    try:
        if alone:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        execute.become(program.command, offered, program.who, program.env, with_parent=True)
    except (RslError, OSError) as error:
        os.write(2, f"rslctl: {error}\n".encode())
    finally:
        os._exit(127)


@contextlib.contextmanager
def _watching_signals() -> Iterator[None]:
    """Leave signals to sigwaitinfo(2)."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored is not waited for
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
        # A daemon may say READY=1 and end: that signal is still pending, and would end us.
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
    """Run both until the daemon ends, or *with_remote* until one of them does.

    The remote starts with the daemon, or *once_ready* when that says so. Signals are the
    daemon's. Who is left is told to end.

    Returns the exit status of the one whose end it was; 128 and the number of a signal that it
    died of.

    Raises:
        RslError: the link cannot be made, or a program is not to be had.
    """
    for each in (daemon, remote):
        execute.find_program(each.command)
    with _watching_signals():
        uids = {0, os.geteuid(), daemon.who.uid if daemon.who else 0}
        pair = _Pair(note, uids)
        daemon.env["NOTIFY_SOCKET"] = pair.notify_socket
        remote.env.pop("NOTIFY_SOCKET", None)  # it is not whoever started us that waits for it
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
