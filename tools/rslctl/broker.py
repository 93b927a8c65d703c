# SPDX-License-Identifier: BSD-3-Clause
"""Give the descriptors of a link to processes that somebody else starts: docs/serve.md.

Who connects gets one reply, the manifest or an error, with the descriptors by SCM_RIGHTS,
and the connection is closed. Nothing is read from a client and nothing is kept of it, so
there is nothing that one could do to the others.
"""

from __future__ import annotations

import array
import contextlib
import errno
import grp
import os
import pwd
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rslctl import handoff, manifest, offer
from rslctl.board import Access
from rslctl.errors import RslError, os_error

#: Where the sockets are, named after the links.
DIRECTORY = "/run/rsl"

#: Who may have a link whose profile leaves that open: the group of the units' udev rule.
DEFAULT = Access(groups=("rsl",))

#: Linux's include/uapi/asm-generic/socket.h; Python has no names for it.
_SO_PEERGROUPS = 59
#: The longest option that Python reads: 256 groups.
_OPTION_MAX = 1024

#: struct ucred, unix(7).
_UCRED = struct.Struct("=iII")
_GID = struct.Struct("=I")


@dataclass(frozen=True)
class Peer:
    """A process that connected, as it was then."""

    pid: int
    uid: int
    #: Its group and its supplementary groups.
    gids: frozenset[int]


@dataclass(frozen=True)
class Policy:
    """Who is given the link, beside root and whoever the broker runs as."""

    uids: frozenset[int]
    gids: frozenset[int]

    def admits(self, peer: Peer) -> bool:
        return peer.uid in self.uids | {0, os.geteuid()} or bool(peer.gids & self.gids)


def policy(access: Access | None) -> Policy:
    """Whom *access* names, or :data:`DEFAULT` where there is none.

    Raises:
        RslError: a user or group that *access* names is not known here.
    """
    if access is None:
        with contextlib.suppress(KeyError):
            return Policy(frozenset(), frozenset(grp.getgrnam(x).gr_gid for x in DEFAULT.groups))
        return Policy(frozenset(), frozenset())
    return Policy(
        frozenset(_uid(name) for name in access.users),
        frozenset(handoff.group_id(name) for name in access.groups),
    )


def _uid(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise RslError(
            f"unknown user {name!r}", hint="key users of the profile's table link.access"
        ) from error


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end; of more than 256 supplementary groups none is known."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    more = b""
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_MAX)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    return Peer(pid, uid, frozenset([gid, *(each for (each,) in _GID.iter_unpack(more))]))


@dataclass(frozen=True)
class Broker:
    """Answers those who connect."""

    link: str
    policy: Policy
    #: Makes new descriptors of the link, or raises RslError.
    offers: Callable[[], offer.Offer]
    #: Told in one line who got what, and what went wrong here.
    tell: Callable[[str], None]
    note: Callable[[str], None]

    def answer(self, connection: socket.socket) -> None:
        """Give whoever is at the other end what it may have, without waiting for it."""
        try:
            peer = peer_of(connection)
            try:
                if not self.policy.admits(peer):
                    raise RslError(f"user {peer.uid} may not have link {self.link!r}")
                with self.offers() as made:
                    _send(connection, made.document, list(made.fds.values()))
                self.tell(f"gave link {self.link!r} to process {peer.pid} of user {peer.uid}")
            except RslError as error:
                _send(connection, {"version": manifest.VERSION, "error": str(error)}, [])
                self.tell(f"refused process {peer.pid}: {error}")
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            self.tell("a client did not wait for its answer")
        except OSError as error:
            self.note(f"cannot answer a client: {error}")


def _send(connection: socket.socket, document: dict[str, object], fds: list[int]) -> None:
    # As much as a socket takes at once, or nothing: nobody is waited for.
    connection.setblocking(False)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    data = manifest.encode(document)
    if connection.sendmsg([data], rights, socket.MSG_NOSIGNAL) != len(data):
        raise BlockingIOError


class _ToldToEnd(BaseException):
    pass


def serve(broker: Broker, listener: socket.socket) -> None:
    """Answer whoever connects, until SIGTERM or SIGINT comes.

    Raises:
        RslError: the socket is of no use any more.
    """
    # Descriptors that nobody has taken out of a socket yet count as ours (unix(7)).
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def end(*_: object) -> None:
        raise _ToldToEnd

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with contextlib.suppress(_ToldToEnd):
        while True:
            try:
                connection, _ = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                raise os_error("accept a connection", error) from error
            with connection:
                broker.answer(connection)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The socket that the service manager gave us, or one of our own at *path* until the end.

    Everybody may connect: who may have the link is asked then.

    Raises:
        RslError: another process serves there, or the socket cannot be made.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        yield _inherited()
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _make_way(path)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen(socket.SOMAXCONN)
        except OSError as error:
            raise os_error(f"listen at '{path}'", error) from error
        made = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()


def _inherited() -> socket.socket:
    if os.environ.get("LISTEN_FDS") != "1":
        raise RslError(
            f"got {os.environ.get('LISTEN_FDS')} descriptors from the service manager, not one",
            hint="the socket unit has one ListenStream",
        )
    return socket.socket(fileno=handoff.LISTEN_FDS_START)


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens at any more."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        try:
            attempt.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise RslError(
        f"another process serves at '{path}'", hint="stop it, or choose another with --socket"
    )
