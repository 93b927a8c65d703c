# SPDX-License-Identifier: BSD-3-Clause
"""The far ends of a console: standard input and output, and Unix sockets; all of them are real."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.virtio.backend import BackendError
from rslctl.virtio.ends import Stdio, UnixSocket

from tests.unit.virtio.ends_use import fill, received, woken
from tests.unit.virtio.split_ring import LIMIT


@contextlib.contextmanager
def piped() -> Iterator[tuple[Stdio, int, int]]:
    """Standard input and output of pipes: the end, and the descriptors of who uses it."""
    read_input, write_input = os.pipe()
    read_output, write_output = os.pipe()
    end = Stdio((read_input, write_output))
    os.close(read_input)
    os.close(write_output)
    users = [write_input, read_output]
    try:
        yield end, write_input, read_output
    finally:
        end.close()
        for each in users:
            with contextlib.suppress(OSError):  # the test has closed it
                os.close(each)


def test_pipes_carry_both_directions() -> None:
    with piped() as (end, user_in, user_out):
        assert end.read(10) == b""
        assert end.write(b"to the user") == 11
        assert os.read(user_out, 100) == b"to the user"
        end.quiet()
        os.write(user_in, b"to the remote")
        assert woken(end)
        assert end.read(6) == b"to the"
        assert end.read(100) == b" remote"
        assert end.read(100) == b""


def test_a_pipe_that_nobody_reads_takes_no_more_until_somebody_does() -> None:
    with piped() as (end, _, user_out):
        written = fill(end)
        end.quiet()
        assert not woken(end, 0)
        seen = os.read(user_out, 4096)
        while len(seen) < len(written):
            seen += os.read(user_out, 65536)
        assert seen == written
        assert woken(end)
        assert end.write(b"on") == 2


def test_output_is_dropped_when_its_reader_is_gone() -> None:
    with piped() as (end, _, user_out):
        fill(end)
        os.close(user_out)
        assert woken(end)
        assert end.write(b"lost") == 4


def test_input_that_has_ended_wakes_nobody_any_more() -> None:
    with piped() as (end, user_in, _):
        os.write(user_in, b"last")
        os.close(user_in)
        assert woken(end)
        assert end.read(100) == b"last"
        assert end.read(100) == b""
        end.quiet()
        assert not woken(end, 0)
        assert end.read(100) == b""
        assert end.write(b"still there") == 11


def test_input_that_nobody_takes_wakes_once() -> None:
    with piped() as (end, user_in, _):
        end.quiet()
        os.write(user_in, b"early")
        assert woken(end)
        assert not woken(end, 0)
        assert end.read(100) == b"early"


def test_a_pipe_stays_blocking_for_others() -> None:
    read_end, write_end = os.pipe()
    end = Stdio((read_end, write_end))
    assert os.get_blocking(read_end)
    assert os.get_blocking(write_end)
    end.close()
    os.close(read_end)
    os.close(write_end)


def test_a_socket_is_blocking_again_in_the_end() -> None:
    ours, users = socket.socketpair()
    with ours, users:
        end = Stdio((ours.fileno(), ours.fileno()))
        assert end.read(10) == b""
        users.send(b"typed")
        assert woken(end)
        assert end.read(10) == b"typed"
        assert end.write(b"shown") == 5
        assert users.recv(10) == b"shown"
        assert fill(end)
        end.close()
        assert os.get_blocking(ours.fileno())


def test_files_serve_as_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    with open(tmp_path / "in", "rb") as given, open(tmp_path / "out", "wb") as out:
        os.write(out.fileno(), b"before ")
        end = Stdio((given.fileno(), out.fileno()))
        assert end.read(100) == b"from a file"
        assert end.read(100) == b""
        assert end.read(100) == b""
        assert end.write(b"to a file") == 9
        end.close()
    assert (tmp_path / "out").read_bytes() == b"before to a file"


def test_the_null_device_is_an_input_that_has_ended() -> None:
    with open(os.devnull, "r+b", buffering=0) as null:
        end = Stdio((null.fileno(), null.fileno()))
        assert end.read(10) == b""
        assert end.write(b"nowhere") == 7
        end.close()


def test_a_terminal_serves_and_keeps_its_mode() -> None:
    master, slave = os.openpty()
    before = tty.tcgetattr(slave)  # type: ignore[attr-defined]
    end = Stdio((slave, slave))
    os.write(master, b"a line\n")
    assert received(end, 7) == b"a line\n"
    assert end.write(b"shown") == 5
    assert tty.tcgetattr(slave) == before  # type: ignore[attr-defined]
    assert os.get_blocking(slave)
    end.close()
    os.close(master)
    os.close(slave)


def test_a_closed_input_is_told() -> None:
    with pytest.raises(BackendError) as caught:
        Stdio((1_000_000, 1))
    told = "console: cannot use standard input and output: Bad file descriptor"
    assert str(caught.value) == told


# What follows is of Unix sockets.


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[UnixSocket, Path]]:
    path = tmp_path / "console"
    end = UnixSocket(str(path))
    yield end, path
    end.close()


def connected(end: UnixSocket, path: Path) -> socket.socket:
    """A client that has connected."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(LIMIT)
    client.connect(str(path))
    assert woken(end)
    end.settle()
    return client


def test_a_client_talks_both_ways(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    with connected(end, path) as client:
        assert end.write(b"shown") == 5
        assert client.recv(10) == b"shown"
        end.quiet()
        client.send(b"typed")
        assert woken(end)
        assert end.read(3) == b"typ"
        assert end.read(10) == b"ed"
        assert end.read(10) == b""


def test_output_without_a_client_is_dropped(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    assert end.read(10) == b""
    assert end.write(b"lost") == 4
    with connected(end, path) as client:
        assert end.write(b"shown") == 5
        assert client.recv(100) == b"shown"


def test_the_next_client_is_disconnected(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    with connected(end, path) as first:
        with connected(end, path) as second:
            assert second.recv(10) == b""
        assert end.write(b"still") == 5
        assert first.recv(10) == b"still"


def test_the_place_of_a_client_that_left_is_free(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    connected(end, path).close()
    assert woken(end)
    assert end.read(10) == b""
    end.settle()
    with connected(end, path) as client:
        client.send(b"typed")
        assert received(end, 5) == b"typed"


def test_what_a_client_wrote_before_it_left_is_read(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    with connected(end, path) as client:
        client.send(b"quick")
    assert woken(end)
    end.settle()
    assert end.write(b"for nobody") == 10
    assert end.read(10) == b"quick"


def test_a_client_that_left_makes_place_for_another_even_if_nobody_reads(
    listening: tuple[UnixSocket, Path],
) -> None:
    end, path = listening
    with connected(end, path) as client:
        client.send(b"for nobody")
    with connected(end, path) as client:
        client.send(b"typed")
        assert received(end, 5) == b"typed"


def test_a_client_that_has_said_all_still_gets_output(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    with connected(end, path) as client:
        client.shutdown(socket.SHUT_WR)
        assert woken(end)
        assert end.read(10) == b""
        end.settle()
        assert end.write(b"the answer") == 10
        assert client.recv(100) == b"the answer"
    assert woken(end)
    end.settle()
    with connected(end, path) as client:
        assert end.write(b"next") == 4
        assert client.recv(100) == b"next"


def test_a_client_that_does_not_read_takes_no_more_until_it_does(
    listening: tuple[UnixSocket, Path],
) -> None:
    end, path = listening
    with connected(end, path) as client:
        written = fill(end)
        end.quiet()
        assert not woken(end, 0)
        seen = b""
        while len(seen) < len(written):
            seen += client.recv(65536)
        assert seen == written
        assert woken(end)
        assert end.write(b"on") == 2


def test_a_client_that_leaves_with_output_unread_is_forgotten(
    listening: tuple[UnixSocket, Path],
) -> None:
    end, path = listening
    with connected(end, path):
        fill(end)
        end.quiet()
    assert woken(end)
    assert end.write(b"lost") == 4
    assert end.read(10) == b""
    end.settle()
    with connected(end, path) as client:
        assert end.write(b"shown") == 5
        assert client.recv(10) == b"shown"


def test_only_the_user_of_the_daemon_may_connect(listening: tuple[UnixSocket, Path]) -> None:
    before = os.umask(0)
    os.umask(before)
    assert before != 0o177
    assert stat.S_IMODE(listening[1].stat().st_mode) == 0o600


def test_a_socket_that_was_left_is_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "console"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    end = UnixSocket(str(path))
    connected(end, path).close()
    end.close()
    end.close()
    assert not path.exists()


def test_a_socket_that_somebody_listens_at_stays(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    with pytest.raises(BackendError) as caught:
        UnixSocket(str(path))
    assert str(caught.value) == f"console: cannot listen at '{path}': Address already in use"
    assert "another path" in caught.value.hint
    assert woken(end)
    end.settle()
    connected(end, path).close()


def test_a_file_in_place_of_the_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_text("mine")
    with pytest.raises(BackendError, match="Address already in use"):
        UnixSocket(str(path))
    assert path.read_text() == "mine"


def test_a_socket_that_another_has_replaced_stays(listening: tuple[UnixSocket, Path]) -> None:
    end, path = listening
    path.unlink()
    with socket.socket(socket.AF_UNIX) as another:
        another.bind(str(path))
        end.close()
        assert path.exists()


def test_a_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="AF_UNIX path too long"):
        UnixSocket(str(tmp_path / ("x" * 120)))
