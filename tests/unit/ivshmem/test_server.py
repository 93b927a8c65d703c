# SPDX-License-Identifier: BSD-3-Clause
"""The server: what machines are told, and what one of them can do to the others."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import pwd
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from rslctl.errors import RslError
from rslctl.ivshmem import messages, server
from rslctl.ivshmem.peer import Peer

from tests.unit.ivshmem.served import SIZE, VECTORS, served, until

NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "link.sock"
    with served(found):
        yield found


def peer(path: Path) -> Peer:
    return Peer(str(path), VECTORS)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_client_is_told_in_the_order_of_the_protocol(path: Path) -> None:
    with peer(path), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.settimeout(20)
        told = [messages.receive(sock) for _ in range(3 + 2 * VECTORS)]
    numbers = [number for number, _ in told]
    assert numbers == [0, 1, -1, *[0] * VECTORS, *[1] * VECTORS]
    fds = [fd for _, fd in told]
    assert fds[:2] == [None, None]
    assert None not in fds[2:]
    for fd in fds[2:]:
        os.close(fd or 0)


def test_machines_notify_each_other(path: Path) -> None:
    with peer(path) as one, peer(path) as other:
        assert (one.number, other.number) == (0, 1)
        until(lambda: len(one.others.get(1, [])) == VECTORS, one)
        for sender, receiver in ((one, other), (other, one)):
            for vector in range(VECTORS):
                assert sender.kick(receiver.number, vector)
                assert os.eventfd_read(receiver.rings[vector]) == 1
        assert not one.kick(1, VECTORS)
        assert not one.kick(2, 0)


def test_machines_share_the_memory_and_cannot_change_its_size(path: Path) -> None:
    with peer(path) as one, peer(path) as other:
        assert one.size == other.size == SIZE
        os.pwrite(one.memory, b"shared", 5)
        assert os.pread(other.memory, 6, 5) == b"shared"
        for size in (0, SIZE // 2, SIZE * 2):
            with pytest.raises(PermissionError):
                os.ftruncate(one.memory, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(one.memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_who_goes_is_told_and_who_comes_back_has_another_number(path: Path) -> None:
    with peer(path) as one:
        for number in range(1, 20):
            with peer(path) as other:
                assert other.number == number
                until(functools.partial(one.others.__contains__, number), one)
            until(lambda: not one.others, one)


def test_the_memory_outlives_its_machines(path: Path) -> None:
    with peer(path) as one:
        os.pwrite(one.memory, b"stays", 0)
    with peer(path) as other:
        assert os.pread(other.memory, 5, 0) == b"stays"


def test_a_machine_that_reads_nothing_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with served(path) as pid, peer(path) as one, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        until(lambda: len(one.others) == 1, one)
        before = descriptors(pid)
        # Its socket has room for some 280 messages.
        for _ in range(400):
            with peer(path) as other:
                one.update()
        until(lambda: list(one.others) == [1], one)
        assert descriptors(pid) == before
        silent.settimeout(0.5)
        there: dict[int, int] = {}
        with pytest.raises(TimeoutError):
            while True:
                number, fd = messages.receive(silent)
                if fd is not None:
                    os.close(fd)
                there[number] = there.get(number, 0) + 1 if fd is not None else 0
        # Late, it still learns who is there.
        there = {number: count for number, count in there.items() if number > 0 and count}
        assert there == {1: VECTORS}
        with peer(path) as other:
            assert messages.receive(silent)[0] == other.number


def test_a_client_that_sends_something_is_let_go(path: Path) -> None:
    with peer(path) as one, socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(path))
        until(lambda: len(one.others) == 1, one)
        rude.send(b"hello")
        until(lambda: not one.others, one)


def test_machines_that_come_and_go_at_random_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    chosen = random.Random(21)  # noqa: S311
    with served(path) as pid, peer(path) as one:
        until(lambda: True, one)
        before = descriptors(pid)
        there: list[Peer] = []
        for _ in range(300):
            if there and chosen.random() < 0.5:
                there.pop(chosen.randrange(len(there))).close()
            else:
                there.append(peer(path))
            one.update()
        numbers = {each.number for each in there}
        until(lambda: set(one.others) == numbers, one)
        assert {len(rings) for rings in one.others.values()} <= {VECTORS}
        for each in there:
            each.close()
        until(lambda: not one.others, one)
        assert descriptors(pid) == before


@pytest.mark.parametrize("size", [0, 1, -1, 0x1000, 0x10000, 0x30000, 0x20001, 1 << 63])
def test_a_size_that_is_none_of_a_device_is_refused(size: int) -> None:
    with pytest.raises(RslError, match=r"not a power of two from 131072 to"):
        server.memory(size)


@pytest.mark.parametrize("vectors", [0, 33, -1])
def test_a_number_of_vectors_that_is_none_is_refused(vectors: int) -> None:
    with pytest.raises(RslError, match="vectors are not 1 to 32"):
        server.Server(0, vectors, print)


def test_many_clients_that_hang_up_at_once_leave_the_server(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with served(path) as pid, peer(path) as one:
        before = descriptors(pid)
        socks = []
        for _ in range(300):
            socks.append(socket.socket(socket.AF_UNIX))
            socks[-1].connect(str(path))
        until(lambda: len(one.others) == 300, one)
        # They have not read what they were told: each close is an error for who tells.
        for sock in socks:
            sock.close()
        until(lambda: not one.others, one)
        assert descriptors(pid) == before
        with peer(path) as other:
            assert other.number == 301


@pytest.mark.parametrize("spare", range(1, 2 * VECTORS + 3))
def test_a_server_without_descriptors_lets_clients_wait(tmp_path: Path, spare: int) -> None:
    path = tmp_path / "link.sock"
    with served(path) as pid, peer(path) as one:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid) + spare, hard))
        socks = []
        for _ in range(4):
            socks.append(socket.socket(socket.AF_UNIX))
            socks[-1].connect(str(path))
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            one.update()
        for sock in socks:
            sock.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        with peer(path) as other:
            until(functools.partial(one.others.__contains__, other.number), one)


class Short(socket.socket):
    """A listener whose clients cannot be accepted, as descriptors are short: accept(2)."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX)
        self.tries: list[float] = []

    def accept(self) -> NoReturn:
        self.tries.append(time.monotonic())
        raise OSError(errno.EMFILE if len(self.tries) < 3 else errno.EINVAL, "played")


def test_a_server_without_descriptors_does_not_try_all_the_time(tmp_path: Path) -> None:
    notes: list[str] = []
    with Short() as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "link.sock"))
        listener.listen()
        client.connect(str(tmp_path / "link.sock"))
        with pytest.raises(RslError, match="accept a connection"):
            server.Server(0, VECTORS, notes.append).serve(listener)
    first, second, third = listener.tries
    assert second - first > 0.5
    assert third - second > 0.5
    assert notes == ["a client has to wait: Too many open files"]


@pytest.mark.parametrize("short", range(VECTORS + 1))
def test_a_client_waits_whatever_descriptor_is_the_last(tmp_path: Path, short: int) -> None:
    path = tmp_path / "link.sock"
    needed = 2 * VECTORS + 3
    with served(path, spare=needed + short), peer(path) as one:
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(6)]
        for each in waiting:
            each.settimeout(20)
            each.connect(str(path))
        time.sleep(0.3)
        one.update()
        # None was turned away: each is served, or has nothing to read yet.
        for each in waiting:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                assert each.recv(1, socket.MSG_PEEK)
        for each in waiting:
            each.close()
        until(lambda: not one.others, one)


@pytest.mark.skipif(os.geteuid() != 0, reason="root may have more under way than others")
def test_unread_descriptors_of_some_keep_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    # Enough for 30 clients and more, and not for what they leave unread.
    with served(path, user=NOBODY, spare=100):
        stuck = []
        for _ in range(20):
            stuck.append(socket.socket(socket.AF_UNIX))
            stuck[-1].connect(str(path))

        def let_go() -> None:
            for each in stuck:
                each.close()

        late = threading.Timer(1.5, let_go)
        late.start()
        with peer(path) as one:
            until(lambda: not one.others, one)
            assert one.number == 20
        late.join()
