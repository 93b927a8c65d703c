# SPDX-License-Identifier: BSD-3-Clause
"""What options take, and results written to files: all of them or none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from rslctl.cli import options
from rslctl.errors import RslError
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.racing import racing


def test_several_files_are_written_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    options.write({one: b"1", two: b"2"})
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    assert capsys.readouterr().err == f"rslctl: wrote {one}\nrslctl: wrote {two}\n"
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_where_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_bytes(b"old")
    with pytest.raises(RslError, match=r"cannot write '.*/none/two': No such file"):
        options.write({one: b"new", tmp_path / "none/two": b"2"})
    assert one.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["one"]


def test_a_file_that_is_there_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to("file")
    options.write({link: b"new"})
    assert link.is_symlink()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        options.write({tmp_path / "file": b""})
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_is_no_regular_file_is_written_as_it_is(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    options.write({fifo: b"data"})
    assert os.read(reading, 10) == b"data"
    os.close(reading)
    assert fifo.is_fifo()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user")
def test_links_and_pipes_of_other_users_are_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "link").symlink_to(victim)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        os.chown(tmp_path / name, 12345, -1, follow_symlinks=False)
        options.write({tmp_path / name: b"x"})
        assert (tmp_path / name).is_file()
        assert not (tmp_path / name).is_symlink()
    assert victim.read_text() == "precious"
    os.mkfifo(tmp_path / "own")
    with pytest.raises(RslError, match="No such device or address"):
        options.write({tmp_path / "own": b"x"})


def test_who_puts_a_link_in_the_place_of_the_temporary_file_changes_no_other_file(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    program = (
        "for name in (name for name in os.listdir(sys.argv[1]) if name[0] == '.'):\n"
        "    path = f'{sys.argv[1]}/{name}'\n"
        "    os.unlink(path)\n"
        "    os.symlink('../victim', path)\n"
    )
    place = tmp_path / "place"
    place.mkdir()
    with racing(program, place):
        for _ in range(10_000):
            with contextlib.suppress(FileNotFoundError):
                (place / "file").unlink()  # it may be such a link
            with contextlib.suppress(RslError):
                options.write({place / "file": b"x"})
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o600)


def test_a_word_is_completed_to_the_names_that_begin_with_it() -> None:
    assert options.among(["rng", "net", "rtc"])("r") == ["rng", "rtc"]
    assert options.board_names("zcu10") == [each for each in reader.built_in() if "zcu10" in each]
    assert options.board_names("no-such") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["setup", "--board", "sim", "--mode", "0888"], "'0888' is not an octal mode, as 0660"),
        (["setup", "--board", "sim", "--mode=00660"], "'00660' is not an octal mode, as 0660"),
        (["setup", "--board", "sim", "--firmware", "../x"], "'../x' is not the name of a file"),
        (["setup", "--board", "sim", "--firmware="], "'' is not the name of a file below /lib/"),
        (["wait", "--timeout", "1e9"], "1000000000.0 is not a number of seconds from 0 on"),
        (["status", "--interval", "0"], "Invalid value for '--interval': "),
    ],
)
def test_what_an_option_does_not_take_is_named(
    rslctl: Rslctl, machine: Machine, arguments: list[str], said: str
) -> None:
    status, out, err = rslctl(*arguments, "--root", machine.root)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())
