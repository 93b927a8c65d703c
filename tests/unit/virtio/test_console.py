# SPDX-License-Identifier: BSD-3-Clause
"""The console device that is built in, with a real end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.errors import UsageError
from rslctl.virtio import console
from rslctl.virtio.backend import VERSION_1, Event, What
from rslctl.virtio.ends import Stdio, UnixSocket
from rslctl.virtio.terminal import PseudoTerminal

from tests.unit.virtio.split_ring import LIMIT, Device, Driver, settle, turn, until

RECEIVE, TRANSMIT = 0, 1


class Console:
    """A remote with a console, and the user of it, who has connected to its socket."""

    def __init__(self, path: Path) -> None:
        self.device = Device([128, 128])
        self.path = path
        self.backend = console.ConsoleBackend(
            self.device.memory, lambda: None, UnixSocket(str(path))
        )
        self.user = self.connect()
        settle(self.backend)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(LIMIT)
        client.connect(str(self.path))
        return client

    def start(self) -> None:
        self.backend.start(self.backend.offered(), self.device.wired)
        assert settle(self.backend) is None

    @property
    def receive(self) -> Driver:
        return self.device.drivers[RECEIVE]

    @property
    def transmit(self) -> Driver:
        return self.device.drivers[TRANSMIT]

    def send(self, *parts: bytes) -> int:
        """The remote sends the parts as one chain."""
        head = self.transmit.add([self.device.buffer(each) for each in parts], [])
        self.device.notify(TRANSMIT)
        return head

    def post(self, size: int) -> tuple[int, int]:
        """The remote offers a buffer for input; its head and address."""
        address, length = self.device.buffer(bytes(size))
        head = self.receive.add([], [(address, length)])
        self.device.notify(RECEIVE)
        return head, address

    def close(self) -> None:
        self.user.close()
        self.backend.close()
        self.device.close()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Console]:
    remote = Console(tmp_path / "console")
    yield remote
    remote.close()


def test_it_is_a_console_of_one_port_without_a_size(remote: Console) -> None:
    assert (remote.backend.device_id, remote.backend.queues) == (3, (128, 128))
    assert (remote.backend.offered(), remote.backend.config()) == (VERSION_1, bytes(12))


def test_what_the_remote_sends_is_shown(remote: Console) -> None:
    remote.start()
    head = remote.send(b"hello, ", b"world\n")
    settle(remote.backend)
    assert remote.user.recv(100) == b"hello, world\n"
    assert remote.transmit.get() == (head, 0)
    assert remote.device.kicks(TRANSMIT) == 1
    assert remote.device.kicks(RECEIVE) == 0


def test_an_empty_chain_comes_back(remote: Console) -> None:
    remote.start()
    heads = [remote.send(b""), remote.send(b"x")]
    settle(remote.backend)
    assert [remote.transmit.get(), remote.transmit.get()] == [(head, 0) for head in heads]
    assert remote.user.recv(100) == b"x"


def test_what_is_typed_comes_into_the_buffers_in_turn(remote: Console) -> None:
    remote.start()
    (first, at_first), (second, at_second) = remote.post(4), remote.post(16)
    settle(remote.backend)
    assert remote.receive.get() is None
    remote.user.send(b"typed")
    until(remote.backend, lambda: remote.receive.last_used != _used(remote.receive))
    settle(remote.backend)
    assert remote.receive.get() == (first, 4)
    assert remote.receive.get() == (second, 1)
    assert remote.device.memory.read(at_first, 4) == b"type"
    assert remote.device.memory.read(at_second, 2) == b"d\0"
    assert remote.device.kicks(RECEIVE) > 0
    assert remote.device.kicks(TRANSMIT) == 0


def _used(driver: Driver) -> int:
    """The index of the used ring."""
    return driver.memory.u16(driver.queue.used + 2)


def test_input_waits_for_a_buffer_and_wakes_nobody_meanwhile(remote: Console) -> None:
    remote.start()
    remote.user.send(b"early")
    settle(remote.backend)
    assert turn(remote.backend) == (False, None)
    head, address = remote.post(16)
    settle(remote.backend)
    assert remote.receive.get() == (head, 5)
    assert remote.device.memory.read(address, 5) == b"early"


def test_a_buffer_for_input_without_room_comes_back(remote: Console) -> None:
    remote.start()
    heads = [remote.receive.add([remote.device.buffer(b"x")], []), remote.post(8)[0]]
    remote.user.send(b"typed")
    settle(remote.backend)
    assert [remote.receive.get(), remote.receive.get()] == [(heads[0], 0), (heads[1], 5)]


def test_output_waits_for_a_user_who_does_not_read_and_none_is_lost(remote: Console) -> None:
    remote.start()
    parts = [os.urandom(4000) for _ in range(128)]
    for part in parts:
        remote.send(part)
    settle(remote.backend)
    assert 0 < _used(remote.transmit) < 128
    assert turn(remote.backend) == (False, None)
    seen = b""
    while len(seen) < 128 * 4000:
        seen += remote.user.recv(65536)
        settle(remote.backend)
    assert seen == b"".join(parts)
    assert _used(remote.transmit) == 128


class Late(UnixSocket):
    """An end whose user types when all was read, and before the console sleeps."""

    user: socket.socket
    late = b"late"

    def read(self, size: int) -> bytes:
        data = super().read(size)
        if not data and self.late:
            self.user.send(self.late)
            self.late = b""
        return data


def test_input_that_comes_between_the_last_look_and_the_sleep_is_seen(tmp_path: Path) -> None:
    device = Device([128, 128])
    end = Late(str(tmp_path / "console"))
    backend = console.ConsoleBackend(device.memory, lambda: None, end)
    with socket.socket(socket.AF_UNIX) as end.user:
        end.user.connect(str(tmp_path / "console"))
        settle(backend)
        head = device.drivers[RECEIVE].add([], [device.buffer(bytes(16))])
        backend.start(backend.offered(), device.wired)
        settle(backend)
        assert device.drivers[RECEIVE].get() == (head, 4)
    backend.close()
    device.close()


def test_input_comes_while_output_waits(remote: Console) -> None:
    remote.start()
    for _ in range(100):
        remote.send(bytes(4000))
    head, _ = remote.post(8)
    settle(remote.backend)
    remote.user.send(b"typed")
    until(remote.backend, lambda: _used(remote.receive) == 1)
    assert remote.receive.get() == (head, 5)
    assert _used(remote.transmit) < 100


def test_output_is_dropped_while_nobody_listens(remote: Console) -> None:
    remote.start()
    remote.user.close()
    for _ in range(100):
        remote.send(bytes(4000))
    until(remote.backend, lambda: _used(remote.transmit) == 100)
    settle(remote.backend)
    with remote.connect() as user:
        settle(remote.backend)
        remote.send(b"live")
        settle(remote.backend)
        assert user.recv(100) == b"live"


def test_much_output_is_written_some_at_each_wake(remote: Console) -> None:
    remote.user.close()
    settle(remote.backend)
    for _ in range(3 * console.PIECES):
        remote.send(b"x")
    remote.backend.start(remote.backend.offered(), remote.device.wired)
    turn(remote.backend)
    assert _used(remote.transmit) == console.PIECES
    settle(remote.backend)
    assert _used(remote.transmit) == 3 * console.PIECES


def test_users_come_and_go_while_the_remote_floods(remote: Console) -> None:
    remote.start()
    remote.user.close()
    with remote.connect() as user:
        shown = b""
        user.setblocking(False)
        deadline = time.monotonic() + LIMIT
        while not shown:
            assert time.monotonic() < deadline
            while remote.transmit.num_free:
                remote.transmit.add([(remote.device.memory.base, 1)], [])
            remote.device.notify(TRANSMIT)
            turn(remote.backend)
            [*iter(remote.transmit.get, None)]
            try:
                shown = user.recv(1)
            except BlockingIOError:
                continue


def test_all_of_a_user_who_left_is_read_before_the_next_has_the_place(remote: Console) -> None:
    remote.start()
    typed = os.urandom(console.PIECES * 100)
    remote.user.send(typed)
    remote.user.close()
    with remote.connect() as user:
        user.send(b"next")
        got = b""
        deadline = time.monotonic() + LIMIT
        while len(got) < len(typed) + 4:
            assert time.monotonic() < deadline
            posted = dict(remote.post(16) for _ in range(remote.receive.num_free))
            settle(remote.backend)
            for head, length in iter(remote.receive.get, None):
                got += remote.device.memory.read(posted[head], length)
            remote.device.restart()
            remote.backend.start(remote.backend.offered(), remote.device.wired)
        assert got == typed + b"next"


def test_a_stopped_console_keeps_input_for_the_next_start(remote: Console) -> None:
    remote.start()
    remote.post(16)
    settle(remote.backend)
    remote.backend.stop()
    remote.user.send(b"early")
    remote.send(b"late")
    settle(remote.backend)
    assert (_used(remote.receive), _used(remote.transmit)) == (0, 0)
    remote.device.restart()
    head, address = remote.post(16)
    remote.start()
    assert remote.receive.get() == (head, 5)
    assert remote.device.memory.read(address, 5) == b"early"
    assert remote.transmit.get() is None


def test_a_stop_forgets_what_waited_in_the_queues(remote: Console) -> None:
    remote.start()
    for _ in range(100):
        remote.send(bytes(4000))
    settle(remote.backend)
    assert 0 < _used(remote.transmit) < 100
    remote.backend.stop()
    remote.device.restart()
    remote.start()
    head = remote.send(b"anew")
    seen = b""
    while not seen.endswith(b"anew"):
        settle(remote.backend)
        seen += remote.user.recv(65536)
    assert remote.transmit.get() == (head, 0)


def test_a_stopped_console_has_its_users_come_and_go(remote: Console) -> None:
    with remote.connect() as second:
        settle(remote.backend)
        assert second.recv(10) == b"", "the first is there"
    remote.user.close()
    settle(remote.backend)
    with remote.connect() as third:
        settle(remote.backend)
        remote.start()
        remote.send(b"shown")
        settle(remote.backend)
        assert third.recv(10) == b"shown"


def test_a_driver_that_has_one_queue_only_is_served(remote: Console) -> None:
    remote.backend.start(remote.backend.offered(), remote.device.wired[1:])
    remote.send(b"shown")
    remote.user.send(b"typed")
    settle(remote.backend)
    assert remote.user.recv(10) == b"shown"


@pytest.mark.parametrize("index", [RECEIVE, TRANSMIT])
def test_a_driver_that_lies_is_told(remote: Console, index: int) -> None:
    remote.device.drivers[index].offer(200)
    remote.backend.start(remote.backend.offered(), remote.device.wired)
    reason = f"queue {index} of 128: chain 200: there is no descriptor 200"
    assert settle(remote.backend) == Event(What.FAILED, reason)


def test_the_end_is_closed_with_the_console(remote: Console) -> None:
    assert remote.path.exists()
    remote.backend.close()
    assert remote.user.recv(10) == b""
    assert not remote.path.exists()


def test_the_options_choose_the_end(tmp_path: Path) -> None:
    for options, kind in [({"socket": "s"}, UnixSocket), ({"pty": "p"}, PseudoTerminal)]:
        end = console.choose_end(**{key: str(tmp_path / name) for key, name in options.items()})
        assert type(end) is kind
        end.close()


def test_two_ends_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="console: socket= and pty= exclude each other"):
        console.choose_end(socket="a", pty="b")


def test_an_end_without_options_is_standard_input_and_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    end = console.choose_end()
    assert type(end) is Stdio
    end.write(b"shown")
    end.close()
    assert capfd.readouterr().out == "shown"
