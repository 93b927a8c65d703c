# SPDX-License-Identifier: BSD-3-Clause
"""The pseudo-terminal at the far end of a console, and programs that have it open."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.virtio.backend import BackendError
from rslctl.virtio.terminal import PseudoTerminal

from tests.unit.virtio.ends_use import fill, received, until, woken
from tests.unit.virtio.split_ring import LIMIT


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[PseudoTerminal, Path]]:
    path = tmp_path / "console"
    end = PseudoTerminal(str(path))
    yield end, path
    end.close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A program that has a terminal open."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def shown(fd: int, size: int) -> bytes:
    """The next *size* bytes that a terminal shows."""
    data = b""
    while len(data) < size:
        assert select.select([fd], [], [], LIMIT)[0]
        data += os.read(fd, size - len(data))
    return data


def test_a_terminal_is_raw_at_its_link(terminal: tuple[PseudoTerminal, Path]) -> None:
    end, path = terminal
    with opened(path) as user:
        assert os.isatty(user)
        end.quiet()
        os.write(user, b"typed\x03\r\n")
        assert woken(end)
        assert received(end, 8) == b"typed\x03\r\n"
        assert end.write(b"shown\n\x04") == 7
        assert shown(user, 7) == b"shown\n\x04"
        assert not select.select([user], [], [], 0)[0], "input is not echoed"


def test_programs_may_come_and_go(terminal: tuple[PseudoTerminal, Path]) -> None:
    end, path = terminal
    assert end.read(10) == b""
    for text in (b"one", b"two", b"three"):
        with opened(path) as user:
            os.write(user, text)
            assert received(end, len(text)) == text
            assert end.write(text) == len(text)
            assert shown(user, len(text)) == text
        until(lambda: end.read(10) == b"" and not woken(end, 0))


def test_what_was_typed_by_a_program_that_left_is_there(
    terminal: tuple[PseudoTerminal, Path],
) -> None:
    end, path = terminal
    with opened(path) as user:
        os.write(user, b"quick")
    assert received(end, 5) == b"quick"


def test_a_terminal_that_nobody_has_open_keeps_some_output_and_drops_the_rest(
    terminal: tuple[PseudoTerminal, Path],
) -> None:
    end, path = terminal
    assert end.write(b"the first words") == 15
    for _ in range(1000):
        assert end.write(bytes(4096)) > 0
    with opened(path) as user:
        assert shown(user, 15) in (b"the first words", bytes(15))


def test_a_terminal_whose_program_does_not_read_takes_no_more_until_it_does(
    terminal: tuple[PseudoTerminal, Path],
) -> None:
    end, path = terminal
    with opened(path) as user:
        written = fill(end)
        end.quiet()
        assert shown(user, len(written)) == written
        until(lambda: woken(end, 1) and end.write(b"on") == 2)
        assert shown(user, 2) == b"on"


def test_output_goes_on_when_a_program_leaves_without_reading(
    terminal: tuple[PseudoTerminal, Path],
) -> None:
    end, path = terminal
    with opened(path):
        fill(end)
        end.quiet()
    assert woken(end)
    assert end.write(b"lost") == 4


def test_a_link_that_was_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.symlink_to("/dev/pts/99999")
    (tmp_path / ".console.rslctl-new").symlink_to("left by a killed process")
    end = PseudoTerminal(str(path))
    with opened(path) as user:
        assert os.isatty(user)
    end.close()
    assert [*tmp_path.iterdir()] == []


def test_a_file_in_place_of_the_link_stays(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_text("mine")
    before = {*os.listdir("/proc/self/fd")}
    with pytest.raises(BackendError) as caught:
        PseudoTerminal(str(path))
    told = f"console: cannot make a pseudo-terminal at '{path}': File exists"
    assert str(caught.value) == told
    assert "another path" in caught.value.hint
    assert path.read_text() == "mine"
    assert {*os.listdir("/proc/self/fd")} == before


def test_a_link_that_another_has_replaced_stays(terminal: tuple[PseudoTerminal, Path]) -> None:
    end, path = terminal
    path.unlink()
    path.symlink_to("another")
    end.close()
    assert os.readlink(path) == "another"


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="No such file or directory") as caught:
        PseudoTerminal(str(tmp_path / "absent/console"))
    assert caught.value.hint == "make the directory first"
