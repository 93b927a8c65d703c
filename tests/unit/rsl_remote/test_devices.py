# SPDX-License-Identifier: BSD-3-Clause
"""Console, random numbers, frames, sectors and files by rsl_remote.h."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.virtio.console import ConsoleBackend
from rslctl.virtio.ends import Stdio
from rslctl.virtio.rng import RngBackend

from tests.unit.rsl_remote.conftest import MakeLink
from tests.unit.rsl_remote.devices import Blk, Fs, Net, Pipes, seeded
from tests.unit.rsl_remote.support import (
    AGAIN,
    FULL,
    INVALID,
    LOST,
    REFUSED,
    Link,
    Served,
    serve,
)

both = pytest.mark.parametrize("version", [1, 2])


def begin(link: Link, kind: str, served: Served) -> list[str]:
    assert link.number("find", served.backend.device_id, 0) == 0
    answer = link.ask(kind, "begin")
    assert answer[0] == "0", answer
    return answer[1:]


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    """Read and write ends of two pipes: to the console, and from it."""
    fds = [*os.pipe(), *os.pipe()]
    for fd in fds:
        os.set_blocking(fd, False)
    yield fds
    for fd in fds:
        os.close(fd)


class EmptyHanded(Pipes):
    """A console that returns each buffer to receive without a byte in it, one notification later.

    It plays no back-end that is known: virtio 1.2, 5.3.6, does not forbid one. It sends nothing.
    """

    device_id = 3
    queues: tuple[int, ...] = (128, 128)
    emptied = 0

    def _work(self) -> bool:
        while self._served and (chain := self._served[0].pop()):
            self._served[0].push(chain, 0)
            self.emptied += 1
        return False


@both
def test_a_console_reads_and_writes(make_link: MakeLink, version: int, pipes: list[int]) -> None:
    link = make_link(version)
    end = Stdio((pipes[0], pipes[3]))
    backend = ConsoleBackend(link.memory, lambda: None, end)
    begin(link, "console", serve(link, backend, 0x6000))
    assert link.number("console", "read", 10) == AGAIN
    os.write(pipes[1], b"typed")
    link.turn()
    assert link.data("console", "read", 2) == b"ty"
    assert link.data("console", "read", 10) == b"ped"
    assert link.number("console", "write", b"shown".hex()) == 5
    assert os.read(pipes[2], 100) == b"shown"


@both
def test_a_console_takes_more_than_its_buffers_in_turns(
    make_link: MakeLink, version: int, pipes: list[int]
) -> None:
    link = make_link(version)
    backend = ConsoleBackend(link.memory, lambda: None, Stdio((pipes[0], pipes[3])))
    begin(link, "console", serve(link, backend, 0x6000))
    text, shown, read = seeded(2).randbytes(30000), b"", b""
    os.write(pipes[1], text)
    at = 0
    while len(shown) < len(text) or len(read) < len(text):
        done = link.number("console", "write", text[at : at + 6000].hex()) if text[at:] else 0
        assert done > 0 or done == AGAIN or at == len(text)
        at += max(done, 0)
        link.turn(0)
        if len(shown) < len(text):
            shown += os.read(pipes[2], 60000)
        words = link.ask("console", "read", 500)
        assert int(words[0]) > 0 or int(words[0]) == AGAIN
        read += bytes.fromhex(words[1]) if len(words) > 1 else b""
    assert (shown, read) == (text, text)


@both
def test_the_console_learns_that_empty_buffers_are_free_again(
    make_link: MakeLink, version: int
) -> None:
    link = make_link(version)
    host = EmptyHanded(link.memory)
    begin(link, "console", serve(link, host, 0x6000))
    for buffers in (32, 48, 64):
        assert link.number("console", "read", 10) == AGAIN
        assert host.emptied == buffers


@both
def test_random_bytes_are_given_once(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    begin(link, "rng", serve(link, RngBackend(link.memory, lambda: None), 0x6000))
    found: list[str] = []
    while len(found) < 40:
        words = link.ask("rng", "read", 100)
        assert int(words[0]) > 0 or int(words[0]) == AGAIN
        found += words[1:]
    assert len(set(found)) == 40


def frame_header(size: int, buffers: int = 1) -> bytes:
    return bytes(10) + struct.pack("<H", buffers) if size == 12 else bytes(10)


@both
@pytest.mark.parametrize("features", [Net.features, Net.MAC | 1 << 32, 1 << 32])
def test_frames_go_both_ways(make_link: MakeLink, version: int, features: int) -> None:
    link = make_link(version)
    backend = Net(link.memory)
    backend.features = features
    (mac,) = begin(link, "net", serve(link, backend))
    assert mac == ("020000000001" if features & Net.MAC else "000000000000")
    size = 12 if version == 2 or features & Net.MRG_RXBUF else 10
    frame = bytes(range(200)) * 7
    for turn in range(70):
        assert link.number("net", "write", frame[turn:].hex()) == 0
    assert [each[size:] for each in backend.sent] == [frame[turn:] for turn in range(70)]
    assert {each[:size] for each in backend.sent} == {bytes(size)}
    assert link.number("net", "read", 1514) == AGAIN
    for turn in range(70):
        backend.give(frame_header(size) + frame[turn:])
        assert link.data("net", "read", 1514) == frame[turn:]
    assert link.number("net", "write", bytes(3000).hex()) == INVALID


@both
def test_frames_that_do_not_fit_are_dropped(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    backend = Net(link.memory)
    begin(link, "net", serve(link, backend))
    backend.give(frame_header(12) + bytes(1514))  # longer than the caller's buffer
    backend.give(frame_header(12, 2) + bytes(2032 + 100))  # in two of the device's
    backend.give(frame_header(12, 0) + bytes(100))
    backend.give(frame_header(12))
    backend.give(b"\1\2\3")
    backend.give(frame_header(12) + b"good")
    assert link.data("net", "read", 1000) == b"good"
    assert link.number("net", "read", 1000) == AGAIN


@both
def test_a_region_too_small_for_frames_is_full(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    serve(link, Net(link.memory), 0x10000 if version == 1 else 0x8000)
    link.ask("find", 1, 0)
    assert link.number("net", "begin") == FULL


@both
def test_sectors_are_read_and_written(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    backend = Blk(link.memory, 1000)
    assert begin(link, "blk", serve(link, backend, 0x40000))[:2] == ["1000", "0"]
    data = seeded(3).randbytes(512 * 5)
    assert link.number("blk", "write", 990, data.hex()) == 0
    assert backend.disk[990 * 512 : 995 * 512] == data
    assert link.data("blk", "read", 989, 7) == bytes(512) + data + bytes(512)
    assert link.number("blk", "flush") == 0
    assert [kind for kind, _, _ in backend.requests] == [1, 0, 4]


@both
def test_long_reads_are_several_requests(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    backend = Blk(link.memory, 1000)
    backend.disk[:] = seeded(4).randbytes(512000)
    largest = int(begin(link, "blk", serve(link, backend, 0x6000))[2])
    assert 0 < largest < 50
    assert link.data("blk", "read", 0, 100) == backend.disk[:51200]
    assert max(count for _, _, count in backend.requests) == largest


@both
@pytest.mark.parametrize(
    ("sector", "count"), [(1000, 1), (999, 2), ((1 << 64) - 1, 2), (0, 0), (1 << 32, 1)]
)
def test_sectors_that_the_disk_does_not_have_are_invalid(
    make_link: MakeLink, version: int, sector: int, count: int
) -> None:
    link = make_link(version)
    begin(link, "blk", serve(link, Blk(link.memory, 1000), 0x40000))
    assert link.number("blk", "read", sector, count) == INVALID


@both
def test_errors_of_the_disk_are_told(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    backend = Blk(link.memory, 10)
    backend.features |= Blk.RO
    assert begin(link, "blk", serve(link, backend, 0x40000))[1] == "1"
    assert link.number("blk", "write", 0, bytes(512).hex()) == REFUSED
    for backend.status, rc in ((1, REFUSED), (2, REFUSED), (255, REFUSED), (0, 0)):
        assert link.number("blk", "read", 0, 1) == rc


@both
def test_a_disk_that_is_slow_is_asked_later(make_link: MakeLink, version: int) -> None:
    link = make_link(version)
    backend = Blk(link.memory, 10)
    served = serve(link, backend, 0x40000)
    begin(link, "blk", served)
    backend.silent = True
    assert link.number("blk", "start", 0, 1) == 0
    assert link.number("blk", "finish") == AGAIN
    assert link.number("blk", "read", 0, 1) == AGAIN
    backend.silent = False
    served.notified(served.wired[0][0])
    link.turn(0)
    assert link.number("blk", "finish") == 0
    assert link.number("blk", "finish") == INVALID
    assert link.number("blk", "read", 0, 1) == 0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "file-of-a-longer-name", "zz"):
        (tmp_path / name).write_bytes(name.encode() * 5000)
    return tmp_path


@both
def test_files_are_listed_and_read(make_link: MakeLink, version: int, directory: Path) -> None:
    link = make_link(version)
    backend = Fs(link.memory, directory)
    largest, tag = begin(link, "fs", serve(link, backend))
    assert (int(largest), tag) == (131072, "myfs")
    rc, error, node, size, mode = link.ask("fs", "lookup", 1, "zz")
    assert (rc, error, size) == ("0", "0", "10000")
    assert stat.S_ISREG(int(mode, 8))
    rc, _, handle = link.ask("fs", "open", node, 0)
    assert rc == "0"
    assert link.data("fs", "read", node, handle, 1, 9000) == b"z" * 9000
    assert link.number("fs", "read", node, handle, 10000, 100) == 0
    assert link.number("fs", "release", node, 0, handle) == 0
    assert backend.handles == {}
    assert backend.nodes.keys() == {1, int(node)}
    assert link.number("fs", "forget", node) == 0
    assert backend.nodes.keys() == {1}
    assert link.ask("fs", "lookup", 1, "missing")[:2] == [str(REFUSED), "2"]
    assert link.number("fs", "lookup", 1, "n" * 5000) == INVALID


@both
def test_directories_are_read_piece_by_piece(
    make_link: MakeLink, version: int, directory: Path
) -> None:
    link = make_link(version)
    begin(link, "fs", serve(link, Fs(link.memory, directory)))
    _, _, handle = link.ask("fs", "open", 1, 1)
    names, offset = [], "0"
    while len(words := link.ask("fs", "readdir", 1, handle, offset, 90)) > 1:
        names += [word.split(":")[0] for word in words[1:]]
        offset = words[-1].split(":")[1]
    assert names == ["a", "file-of-a-longer-name", "zz"]
    assert link.number("fs", "release", 1, 1, handle) == 0


@both
@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("<IiQ", 15, 0, 2),
        struct.pack("<IiQ", 17, 0, 2),
        struct.pack("<IiQ", 16, 0, 1),
        struct.pack("<IiQ", 16, 0, 2),  # no struct fuse_entry_out
        struct.pack("<IiQ", 0xFFFFFFFF, 0, 2),
        b"",
    ],
)
def test_answers_of_no_file_system_are_a_lost_device(
    make_link: MakeLink, version: int, directory: Path, answer: bytes
) -> None:
    link = make_link(version)
    backend = Fs(link.memory, directory)
    begin(link, "fs", serve(link, backend))
    backend.answer = answer
    assert link.number("fs", "lookup", 1, "a") == LOST


@both
def test_another_fuse_is_refused(make_link: MakeLink, version: int, directory: Path) -> None:
    link = make_link(version)
    backend = Fs(link.memory, directory)
    backend.major = 8
    serve(link, backend)
    link.ask("find", 26, 0)
    assert link.number("fs", "begin") == REFUSED
