# SPDX-License-Identifier: BSD-3-Clause
"""Messages of the protocol, byte by byte as docs/specs/ivshmem-spec of QEMU has them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from rslctl.errors import RslError
from rslctl.ivshmem import messages


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_number_is_eight_bytes_little_endian(pair: tuple[socket.socket, socket.socket]) -> None:
    messages.send(pair[0], 0x1234)
    assert pair[1].recv(100) == b"\x34\x12\0\0\0\0\0\0"
    messages.send(pair[0], messages.MEMORY)
    assert pair[1].recv(100) == b"\xff" * 8


def test_what_is_sent_is_read(pair: tuple[socket.socket, socket.socket]) -> None:
    with open(os.devnull, "rb") as file:
        messages.send(pair[0], 7, file.fileno())
        messages.send(pair[0], 8)
        number, fd = messages.receive(pair[1])
        assert number == 7
        assert fd is not None
        assert os.path.samestat(os.fstat(fd), os.fstat(file.fileno()))
        assert not os.get_inheritable(fd)
        os.close(fd)
    assert messages.receive(pair[1]) == (8, None)


def test_a_message_in_pieces_is_one(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].send(b"\x05\0\0")
    pair[0].send(b"\0\0\0\0\0")
    assert messages.receive(pair[1]) == (5, None)


def test_a_server_that_has_gone_is_told(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].send(b"\0\0")
    pair[0].close()
    with pytest.raises(RslError, match="the ivshmem server has gone"):
        messages.receive(pair[1])


def test_a_second_descriptor_is_refused_and_both_are_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(pair[0], [bytes(8)], [0, 1])
    with pytest.raises(RslError, match="two descriptors"):
        messages.receive(pair[1])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_that_does_not_read_blocks_nobody(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[0].setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            messages.send(pair[0], sent)
            sent += 1
    assert [messages.receive(pair[1]) for _ in range(sent)] == [(n, None) for n in range(sent)]
