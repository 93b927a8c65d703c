# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that programs give to each other."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux import fd_passing


def announce(monkeypatch: pytest.MonkeyPatch, names: str, count: int) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", str(count))
    monkeypatch.setenv("LISTEN_FDNAMES", names)


def test_what_is_announced_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fd_passing.announcement(["a", "", "b"]).items():
        monkeypatch.setenv(name, value)
    assert fd_passing.given() == ["a", "", "b"]


def test_a_process_that_was_given_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, "a", 1)
    monkeypatch.setenv("LISTEN_PID", "1")
    with pytest.raises(fd_passing.NotGivenError, match=f"for process 1, this is {os.getpid()}"):
        fd_passing.given()
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        announce(monkeypatch, "a", 1)
        monkeypatch.delenv(name)
        with pytest.raises(fd_passing.NotGivenError, match="do not tell of descriptors"):
            fd_passing.given()


def test_names_that_do_not_fit_the_count_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, "a:b", 3)
    with pytest.raises(RslError, match="2 names for LISTEN_FDS=3"):
        fd_passing.given()


def test_a_descriptor_is_found_by_a_name_that_comes_once() -> None:
    assert fd_passing.find("x", ["a", "b"]) is None
    with pytest.raises(RslError, match="LISTEN_FDNAMES has a twice"):
        fd_passing.find("a", ["a", "b", "a"])
    with pytest.raises(OSError, match="Bad file descriptor"):
        fd_passing.find("a", ["b"] * 5000 + ["a"])


#: Says what the process has: LISTEN_*, and what is in the files by name.
CHILD = """
import os
names = os.environ["LISTEN_FDNAMES"].split(":")
told = (os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_FDS"], names)
print(*told, *(os.pread(3 + n, 9, 0) for n in range(len(names))), len(os.listdir("/proc/self/fd")))
"""


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def children() -> set[str]:
    """The processes that this one has begun, and not waited for."""
    pids = [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return {pid for pid in pids if _parent(pid) == os.getpid()}


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_a_program_gets_descriptors_from_three_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fds = {}
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
        fds[name] = os.open(tmp_path / name, os.O_RDONLY)
    # Numbers that are the places of others.
    fds = {name: fds[other] for name, other in zip(fds, ("three", "one", "two"), strict=True)}
    monkeypatch.setenv("LISTEN_FDNAMES", "of:somebody:else")
    # What this process was itself given by a careless parent is not ours to close.
    others = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _inheritable(fd)]
    saved = os.dup(1)
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    try:
        os.dup2(out, 1)
        pid = fd_passing.spawn([sys.executable, "-I", "-S", "-c", CHILD], fds)
    finally:
        os.dup2(saved, 1)
        os.close(out)
    assert os.waitpid(pid, 0)[1] == 0
    count = 7 + len([fd for fd in others if fd > 5])
    expected = f"True 3 ['one', 'two', 'three'] b'three' b'one' b'two' {count}\n"
    assert (tmp_path / "out").read_text() == expected
    for fd in (saved, *fds.values()):
        os.close(fd)


def test_a_program_that_cannot_be_started_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    # Tests before this one in this process may have left a child of multiprocessing.
    before = os.listdir("/proc/self/fd"), children()
    with pytest.raises(FileNotFoundError, match="no-such"):
        fd_passing.spawn([str(tmp_path / "no-such")], {"a": 0})
    with pytest.raises(OSError, match="Bad file descriptor"):
        fd_passing.spawn(["true"], {"a": 999})
    assert (os.listdir("/proc/self/fd"), children()) == before


def test_no_program_started_meanwhile_inherits_what_comes_by_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(theirs, [b"text"], [0, 1])
        data, fds = fd_passing.receive(ours, 100, 2)
    assert (data, len(fds)) == (b"text", 2)
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd in fds:
        os.close(fd)
