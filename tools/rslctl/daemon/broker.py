# SPDX-License-Identifier: BSD-3-Clause
"""The broker: it gives the descriptors of a link to clients of a socket: docs/reference/serve.md.

Each client gets one reply: the manifest with the descriptors by SCM_RIGHTS, or an error. The broker
reads nothing from a client and does not wait for it. It only remembers which replies a client has
not taken yet, because their descriptors count against the broker's own limit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import socket
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass

from rslctl.daemon import descriptors, execute, manifest
from rslctl.errors import RslError, os_error
from rslctl.linux import listening
from rslctl.profile.model import Access

#: Directory of the sockets, which are named after the links.
DIRECTORY = "/run/rsl"

#: The access to a link whose profile has no access table: the group of the udev rule.
DEFAULT = Access(groups=("rsl",))

#: include/uapi/asm-generic/socket.h of Linux. Python has no name for it.
_SO_PEERGROUPS = 59
#: The longest option that Python reads: 256 groups.
_OPTION_MAX = 1024

#: struct ucred, unix(7).
_UCRED = struct.Struct("=iII")
_GID = struct.Struct("=I")


#: The number of untaken answers that a user may have, with at most 66 descriptors each.
UNTAKEN_MAX = 256
#: Seconds between two checks of the untaken answers.
_SWEEP = 1.0


@dataclass(frozen=True)
class Peer:
    """A client process, as it was when it connected."""

    pid: int
    uid: int
    #: The group and the supplementary groups.
    gids: frozenset[int]


@dataclass(frozen=True)
class Policy:
    """The users and groups that get the link, besides root and the broker's own user."""

    uids: frozenset[int]
    gids: frozenset[int]

    def admits(self, peer: Peer) -> bool:
        return peer.uid in self.uids | {0, os.geteuid()} or bool(peer.gids & self.gids)


def policy(access: Access | None) -> Policy:
    """The policy that *access* describes, or :data:`DEFAULT` if it is None.

    Raises:
        RslError: a user or group that *access* names is not known here.
    """
    if access is None:
        with contextlib.suppress(KeyError):
            return Policy(frozenset(), frozenset(grp.getgrnam(x).gr_gid for x in DEFAULT.groups))
        return Policy(frozenset(), frozenset())
    return Policy(
        frozenset(_uid(name) for name in access.users),
        frozenset(execute.group_id(name) for name in access.groups),
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
    """The process at the other end. If it has more than 256 supplementary groups, none is known."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    more = b""
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_MAX)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    return Peer(pid, uid, frozenset([gid, *(each for (each,) in _GID.iter_unpack(more))]))


class Broker:
    """Answers the clients that connect."""

    def __init__(
        self,
        link: str,
        offers: Callable[[], descriptors.Offer],
        access: Callable[[], Access | None],
        tell: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        """For *link*.

        *offers* makes new descriptors or raises RslError. *access* returns the current access table
        of the profile. *tell* gets a line for each answer, *note* one for each internal error.
        """
        self._link = link
        self._offers = offers
        self._access = access
        self._tell = tell
        self._note = note
        self._policies: dict[Access | None, Policy] = {}
        #: Connections with an answer that the client has not taken yet, by user.
        self._untaken: dict[int, list[socket.socket]] = {}

    @property
    def waits(self) -> bool:
        """Whether some answers are not taken yet."""
        return bool(self._untaken)

    def _policy(self) -> Policy:
        access = self._access()
        if access not in self._policies:
            self._policies = {access: policy(access)}
        return self._policies[access]

    def answer(self, connection: socket.socket) -> None:
        """Give the client the link or an error, without waiting for it."""
        try:
            peer = peer_of(connection)
            try:
                self._give(connection, peer)
                self._tell(f"gave link {self._link!r} to process {peer.pid} of user {peer.uid}")
            except RslError as error:
                _send(connection, {"version": manifest.VERSION, "error": str(error)}, [])
                self._tell(f"refused process {peer.pid} of user {peer.uid}: {error}")
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            connection.close()
            self._tell("a client did not wait for its answer")
        except OSError as error:
            connection.close()
            self._note(f"cannot answer a client: {error}")

    def _give(self, connection: socket.socket, peer: Peer) -> None:
        if not self._policy().admits(peer):
            raise RslError(f"user {peer.uid} may not have link {self._link!r}")
        if len(self._untaken.get(peer.uid, [])) >= UNTAKEN_MAX:
            self.sweep()
        count = len(self._untaken.get(peer.uid, []))
        if count >= UNTAKEN_MAX:
            raise RslError(f"user {peer.uid} has {count} answers that it has not taken")
        with self._offers() as made:
            try:
                _send(connection, made.document, list(made.fds.values()))
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    raise
                raise RslError("there are too many descriptors that nobody has taken") from error
        # Until the client has taken the descriptors, they count as ours.
        self._untaken.setdefault(peer.uid, []).append(connection.dup())

    def sweep(self) -> None:
        """Forget the answers that were taken, and those of clients that are gone."""
        for uid, waiting in list(self._untaken.items()):
            for each in [each for each in waiting if not _is_untaken(each)]:
                each.close()
                waiting.remove(each)
            if not waiting:
                del self._untaken[uid]


def _is_untaken(connection: socket.socket) -> bool:
    left = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))
    return left != bytes(4)


def _send(connection: socket.socket, document: dict[str, object], fds: list[int]) -> None:
    """Send a whole answer at once, without waiting for the client."""
    connection.setblocking(False)
    data = manifest.encode(document)
    sent = socket.send_fds(connection, [data], fds) if fds else connection.send(data)
    if sent != len(data):
        raise BlockingIOError
    connection.shutdown(socket.SHUT_RDWR)  # nothing is read, ever


def serve(broker: Broker, listener: socket.socket) -> None:
    """Answer each client that connects, for ever.

    Raises:
        RslError: the socket does not accept connections any more.
    """
    listening.have_many_descriptors()
    while True:
        listener.settimeout(_SWEEP if broker.waits else None)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            broker.sweep()
            continue
        except ConnectionAbortedError:
            continue
        except OSError as error:
            raise os_error("accept a connection", error) from error
        with connection:
            broker.answer(connection)
