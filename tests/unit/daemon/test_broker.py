# SPDX-License-Identifier: BSD-3-Clause
"""The broker: who gets what, and what the others can do to it. Its links are played here."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import resource
import signal
import socket
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from rslctl import client
from rslctl.daemon import broker, descriptors
from rslctl.errors import RslError
from rslctl.linux import listening
from rslctl.profile.model import Access

from tests.unit.daemon.support import (
    connect,
    open_descriptors,
    played,
    serving_played,
    start_broker,
)
from tests.unit.daemon.support import path as path
from tests.unit.daemon.support import serving as serving

NOBODY = pwd.getpwnam("nobody")


def memory(pid: int) -> int:
    """Resident memory in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_who_connects_gets_manifest_and_descriptors(serving: int, path: Path) -> None:
    before = open_descriptors()
    with client.receive(path) as link:
        assert (link.name, link.vectors, len(link.memory)) == ("rpu0", 1, 0x1000000)
        assert list(link.fds) == link.manifest["descriptors"]
        assert not any(os.get_inheritable(fd) for fd in link.fds.values())
        link.memory[0] = 1
        link.kick(0)
    assert open_descriptors() == before


def test_the_reply_is_one_document_until_the_end(serving: int, path: Path) -> None:
    with connect(path) as connection:
        data, fds, flags, _ = socket.recv_fds(connection, 65536, 100)
        assert connection.recv(1) == b""
    assert not flags & socket.MSG_CTRUNC
    assert json.loads(data)["version"] == 1
    assert len(fds) == 3
    for fd in fds:
        os.close(fd)


def test_two_hundred_clients_at_once_of_all_kinds(serving: int, path: Path) -> None:
    """Half of them never read, some send garbage or a million bytes, one is the wrong user."""
    client.receive(path).close()
    time.sleep(0.1)
    before, held = open_descriptors(serving), memory(serving)
    for _ in range(5):
        silent = [connect(path) for _ in range(100)]
        for connection in silent[:20]:
            connection.setblocking(False)
            with contextlib.suppress(OSError):  # it may have hung up
                connection.send(b"\0garbage{" * 100)
        million = threading.Thread(target=flood, args=(path,))
        million.start()
        wrong = as_nobody(path)
        took: list[float] = []
        right = [threading.Thread(target=timed, args=(path, took)) for _ in range(98)]
        for thread in right:
            thread.start()
        for thread in (*right, million):
            thread.join(30)
        if wrong:
            error, number = wrong.recv()
            assert (error, number) == (f"user {NOBODY.pw_uid} may not have link 'rpu0'", 0)
        assert len(took) == 98
        print(f"98 clients beside 102 others: {max(took):.3f} s for the slowest")
        for connection in silent:
            connection.close()
    deadline = time.monotonic() + 10
    while open_descriptors(serving) > before:
        assert time.monotonic() < deadline, "descriptors leak"
        time.sleep(0.05)
    assert memory(serving) - held < 4096  # KiB, after 1000 clients


def flood(path: Path) -> None:
    with connect(path) as connection, contextlib.suppress(OSError):
        connection.sendall(b"x" * 1_000_000)


def timed(path: Path, took: list[float]) -> None:
    began = time.monotonic()
    client.receive(path).close()
    took.append(time.monotonic() - began)


def as_nobody(path: Path) -> Connection | None:
    """What a process of another user is told, and how many descriptors it gets; root can ask."""
    if os.geteuid():
        return None
    ours, theirs = Pipe(duplex=False)
    if not os.fork():
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY.pw_gid)
            os.setuid(NOBODY.pw_uid)
            with connect(path) as connection:
                data, fds, _, _ = socket.recv_fds(connection, 65536, 100)
            theirs.send((json.loads(data)["error"], len(fds)))
        os._exit(0)
    theirs.close()
    return ours


def test_more_unread_replies_than_descriptors_are_no_limit(path: Path) -> None:
    """Linux counts them as the sender's, unless that is root."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours, theirs = socket.socketpair()
    served = serving_played()
    pid = os.fork()
    if not pid:
        with listening.until_told_to_end(), listening.listening(path, 0o666) as listener:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
            if os.geteuid() == 0:
                os.setresuid(*[NOBODY.pw_uid] * 3)
            ours.close()
            theirs.send(b".")
            threading.Timer(10, os._exit, (2,)).start()
            broker.serve(served, listener)
        os._exit(0)
    theirs.close()
    assert ours.recv(1) == b"."
    waiting = [connect(path) for _ in range(100)]  # 300 descriptors
    with client.receive(path) as link:
        assert link.vectors == 1
    for connection in waiting:
        assert len(socket.recv_fds(connection, 65536, 100)[1]) == 3
        connection.close()
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_user_that_takes_no_answer_gets_no_more_and_harms_no_other(
    serving: int, path: Path
) -> None:
    waiting = [connect(path) for _ in range(broker.UNTAKEN_MAX)]
    with pytest.raises(client.RefusedError, match="has 256 answers that it has not taken"):
        client.receive(path)
    wrong = as_nobody(path)
    if wrong:
        assert "may not have" in wrong.recv()[0]
    for connection in waiting:
        connection.close()
    deadline = time.monotonic() + 10
    while True:  # the other process may have them still
        try:
            client.receive(path).close()
            return
        except client.RefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_too_many_descriptors_on_their_way_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = broker._send

    def send(connection: socket.socket, document: dict[str, object], fds: list[int]) -> None:
        if fds:
            raise OSError(errno.ETOOMANYREFS, "Too many references")
        real(connection, document, fds)

    monkeypatch.setattr(broker, "_send", send)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving_played().answer(theirs)
        assert "too many descriptors" in json.loads(ours.recv(65536))["error"]


def test_being_told_to_end_several_times_is_an_end_like_any_other(path: Path) -> None:
    for _ in range(5):
        pid = start_broker(path)
        for _ in range(3):
            os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
        assert not path.exists()


def test_the_profile_is_asked_for_each_client() -> None:
    access = [Access(), Access(users=("nobody",))]
    served = broker.Broker("rpu0", played, lambda: access[0], print, print)
    peer = broker.Peer(1, NOBODY.pw_uid, frozenset())
    assert not served._policy().admits(peer)
    del access[0]
    assert served._policy().admits(peer)


@pytest.mark.parametrize(
    ("policy", "admitted"),
    [
        (broker.policy(Access(users=("nobody",))), True),
        (broker.policy(Access(users=(str(NOBODY.pw_uid),))), True),
        (broker.policy(Access(groups=("daemon",))), True),
        (broker.policy(Access(users=("daemon",))), False),
        (broker.policy(Access()), False),
    ],
)
def test_the_profile_says_who_may_have_a_link(policy: broker.Policy, admitted: bool) -> None:
    daemon = pwd.getpwnam("daemon").pw_gid
    peer = broker.Peer(1, NOBODY.pw_uid, frozenset([NOBODY.pw_gid, daemon]))
    assert policy.admits(peer) is admitted
    assert policy.admits(broker.Peer(1, 0, frozenset([0])))


def test_a_peer_is_known_with_all_its_groups() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = broker.peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert peer.gids == {os.getegid(), *os.getgroups()}


def test_an_unknown_user_of_the_profile_is_named() -> None:
    with pytest.raises(RslError, match="unknown user 'no-such'"):
        broker.policy(Access(users=("no-such",)))


def test_a_link_that_is_gone_is_told_to_the_client(path: Path) -> None:
    def gone() -> descriptors.Offer:
        raise RslError("no link 'rpu0' is up")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving_played(gone).answer(theirs)
        data = json.loads(ours.recv(65536))
    assert data == {"version": 1, "error": "no link 'rpu0' is up"}


def test_a_client_that_hung_up_harms_nobody() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    before = open_descriptors()
    with theirs:
        serving_played().answer(theirs)
        assert open_descriptors() <= before
