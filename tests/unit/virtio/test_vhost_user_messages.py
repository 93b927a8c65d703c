# SPDX-License-Identifier: BSD-3-Clause
"""A connection to a vhost-user back-end: what it sends, and how long it waits."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import BackendError
from rslctl.virtio.vhost_user_messages import Connection, LostError

LIMIT = 30.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the back-end's end of it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(1)
        connection = Connection(str(tmp_path / "s"))
        theirs = server.accept()[0]
    with contextlib.closing(connection), theirs:
        theirs.settimeout(LIMIT)
        yield connection, theirs


@pytest.fixture
def given() -> Iterator[int]:
    """A descriptor that :func:`copies` can count."""
    fd = os.memfd_create("given", os.MFD_CLOEXEC)
    yield fd
    os.close(fd)


def copies() -> int:
    """How many descriptors this process has of the given one, itself included."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the directory's own
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:given")
    return found


def reply(request: int, data: bytes) -> bytes:
    return messages.HEADER.pack(request, 5, len(data)) + data


def test_structures_have_the_sizes_that_c_gives_them() -> None:
    # As sizeof() in QEMU's hw/virtio/vhost-user.c, whose VhostUserInflight is not packed.
    sizes = {messages.HEADER: 12, messages.STATE: 8, messages.ADDRESS: 40, messages.MEMORY: 40}
    sizes |= {messages.CONFIG_HEADER: 12, messages.INFLIGHT: 24}
    assert {each.size for each in sizes} == {*sizes.values()}
    assert all(each.size == size for each, size in sizes.items())


def test_a_message_is_a_header_and_what_follows_with_its_descriptors(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, theirs = pair
    given = os.eventfd(0, os.EFD_CLOEXEC)
    connection.send(messages.SET_VRING_KICK, messages.U64.pack(1), [given])
    data, fds, _, _ = socket.recv_fds(theirs, 100, 4)
    assert data == messages.HEADER.pack(12, 1, 8) + messages.U64.pack(1)
    os.eventfd_write(given, 3)
    assert os.eventfd_read(fds[0]) == 3
    for fd in (given, *fds):
        os.close(fd)


def test_a_message_is_acknowledged_once_that_was_agreed_on(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, theirs = pair
    connection.tell(messages.SET_OWNER)
    assert theirs.recv(100) == messages.HEADER.pack(3, 1, 0)
    connection.acknowledges = True
    theirs.send(reply(3, messages.U64.pack(0)))
    connection.tell(messages.SET_OWNER)
    assert theirs.recv(100) == messages.HEADER.pack(3, 9, 0)
    theirs.send(reply(3, messages.U64.pack(22)))
    with pytest.raises(BackendError, match="refuses message 3: error 22"):
        connection.tell(messages.SET_OWNER)


def test_an_answer_by_bytes_that_come_slowly_has_the_limit_of_any(
    pair: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LIMIT", 0.3)
    connection, theirs = pair
    ended = threading.Event()

    def drip() -> None:
        for byte in reply(1, bytes(8)):
            if not ended.wait(0.1):
                theirs.send(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    connection.limit()
    begun = time.monotonic()
    with pytest.raises(LostError, match=r"does not answer in 0\.3 s"):
        connection.ask(messages.GET_FEATURES)
    assert time.monotonic() - begun >= 0.3
    ended.set()
    thread.join()


def test_descriptors_that_nobody_has_asked_for_are_not_kept(
    pair: tuple[Connection, socket.socket], given: int
) -> None:
    connection, theirs = pair
    socket.send_fds(theirs, [reply(1, bytes(8))], [given] * 3)
    assert connection.ask_number(messages.GET_FEATURES) == 0
    connection.take_requests()
    _, fds, _, _ = socket.recv_fds(theirs, 100, 4)
    with socket.socket(fileno=fds[0]) as requests:
        socket.send_fds(requests, [messages.HEADER.pack(2, 1, 0)], [given] * 3)
        connection.serve()
    assert connection.config_changed
    assert copies() == 1


@pytest.mark.parametrize(("size", "count"), [(4096, 0), (0, 1)])
def test_a_buffer_of_no_size_or_without_a_descriptor_is_none(
    pair: tuple[Connection, socket.socket], given: int, size: int, count: int
) -> None:
    connection, theirs = pair
    answer = reply(messages.GET_INFLIGHT_FD, messages.INFLIGHT.pack(size, 0, 1, 128))
    socket.send_fds(theirs, [answer], [given] * count)
    with pytest.raises(BackendError, match="gives no buffer for what is in flight in 1 queues"):
        connection.ask_inflight(1, 128)
    assert copies() == 1


def test_the_back_end_is_answered_while_an_answer_of_it_is_waited_for(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, theirs = pair
    connection.take_requests()
    _, fds, _, _ = socket.recv_fds(theirs, 100, 4)

    def ask_first() -> None:
        with socket.socket(fileno=fds[0]) as requests:
            requests.settimeout(LIMIT)
            requests.send(messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 9, 0))
            requests.recv(100)  # it goes on no sooner
            theirs.recv(100)
            theirs.send(reply(1, messages.U64.pack(5)))

    thread = threading.Thread(target=ask_first)
    thread.start()
    connection.limit()
    assert connection.ask_number(messages.GET_FEATURES) == 5
    assert connection.config_changed
    thread.join()


def test_one_that_reads_nothing_is_lost(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    with pytest.raises(LostError, match="takes no more messages"):
        for _ in range(100_000):
            connection.send(messages.GET_CONFIG, bytes(268))


def test_a_socket_that_may_not_be_written_to_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write to any: connect(2) is played, as it fails for others.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(LostError) as caught:
        Connection(str(tmp_path / "s"))
    assert "let this process write to the socket" in caught.value.hint
