# SPDX-License-Identifier: BSD-3-Clause
"""Files that a daemon gets open beside its link."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.daemon import open_file
from rslctl.daemon.open_file import OpenFile
from rslctl.errors import RslError, UsageError

from tests.unit.daemon.support import ENV, PLAY


def test_a_path_may_have_colons_and_options_follow_the_name() -> None:
    serial = "/dev/serial/by-path/pci-0000:00:14.0"
    texts = ["/dev/a:one", f"{serial}:two", f"{serial}:three:read-only,graceful", "b:append"]
    assert open_file.parse(texts) == [
        OpenFile("/dev/a", "one"),
        OpenFile(serial, "two"),
        OpenFile(serial, "three", frozenset({"read-only", "graceful"})),
        OpenFile("b", "append"),
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["/dev/a"], "is not PATH:NAME"),
        (["/dev/a:"], "is not PATH:NAME"),
        ([":a"], "is not PATH:NAME"),
        (["::read-only"], "is not PATH:NAME"),
        ([""], "is not PATH:NAME"),
        (["/dev/a:b\n"], "cannot be a descriptor's name"),
        (["/dev/a:\u00e4"], "cannot be a descriptor's name"),
        (["/dev/a:" + "x" * 256], "cannot be a descriptor's name"),
        (["/dev/a:shmem"], "'shmem' is a descriptor of the link"),
        (["/dev/a:kick31"], "'kick31' is a descriptor of the link"),
        (["/dev/a:x", "/dev/b:x"], "'x' is named twice"),
    ],
)
def test_what_names_no_descriptor_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_file.parse(texts)


def test_a_file_is_opened_as_its_options_say(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for options, written, mode in (
        ("", b"new", os.O_RDWR),
        (":append", b"oldnew", os.O_RDWR | os.O_APPEND),
        (":truncate", b"new", os.O_RDWR),
    ):
        path.write_bytes(b"old")
        with open_file.opened(open_file.parse([f"{path}:x{options}"])) as fds:
            os.write(fds["x"], b"new")
            flags = fcntl.fcntl(fds["x"], fcntl.F_GETFL)
            assert flags & (os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK) == mode
            assert not os.get_inheritable(fds["x"])
        assert path.read_bytes() == written
    path.chmod(0o400)
    with open_file.opened(open_file.parse([f"{path}:x:read-only"])) as fds:
        assert fcntl.fcntl(fds["x"], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds["x"])


@pytest.mark.parametrize("options", ["", ":read-only"])
def test_a_pipe_without_another_end_is_not_waited_for(tmp_path: Path, options: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with open_file.opened(open_file.parse([f"{tmp_path}/fifo:x{options}"])) as fds:
        assert os.get_blocking(fds["x"])


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"])
def test_a_socket_of_any_kind_is_connected_to(tmp_path: Path, kind: str) -> None:
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as server:
        server.bind(f"{tmp_path}/sock")
        if kind != "SOCK_DGRAM":
            server.listen()
        with open_file.opened(open_file.parse([f"{tmp_path}/sock:x"])) as fds:
            os.write(fds["x"], b"hello")
            other = server if kind == "SOCK_DGRAM" else server.accept()[0]
            assert other.recv(100) == b"hello"
            other.close()


def test_what_cannot_be_opened_is_told_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    before = os.listdir("/proc/self/fd")
    files = open_file.parse([f"{tmp_path}/there:a", f"{tmp_path}/none:b"])
    with pytest.raises(RslError, match=r"cannot open '.*/none' for the daemon: No such file"):
        open_file.opened(files).__enter__()
    with open_file.opened(
        open_file.parse([f"{tmp_path}/none:b:graceful", f"{tmp_path}/there:a"])
    ) as fds:
        assert list(fds) == ["a"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/deaf")
    with pytest.raises(RslError, match="Connection refused"):
        open_file.opened(open_file.parse([f"{tmp_path}/deaf:a"])).__enter__()
    assert os.listdir("/proc/self/fd") == before


#: Reads from what it may not open; what a link has stays as it is without --open.
DAEMON = """
import json, os, sys
names = os.environ["LISTEN_FDNAMES"].split(":")
at = {name: 3 + n for n, name in enumerate(names)}
print(os.geteuid(), names[-2:], os.read(at["secret"], 9))
try:
    print(open(sys.argv[1]))
except PermissionError:
    print("refused")
print(json.loads(os.read(at["manifest"], 65536))["descriptors"] == names[:-1])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_daemon_without_rights_has_what_root_opened_for_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("word")
    secret.chmod(0o600)
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    options = ["--user", "nobody", "--open", f"{secret}:secret"]
    done = subprocess.run(
        [*PLAY, "sleep 9", *options, "--", python, "-c", DAEMON, str(secret)],
        env=ENV,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "65534 ['manifest', 'secret'] b'word'\nrefused\nTrue\n"


def test_a_remote_does_not_get_what_is_opened_for_the_daemon() -> None:
    remote = (
        f"{sys.executable} -c \"import os; print(os.environ['LISTEN_FDNAMES'][-9:], "
        "len(os.listdir('/proc/self/fd')))\""
    )
    done = subprocess.run(
        [*PLAY, remote, "--with-remote", "--open", "/dev/null:null", "--", "sleep", "9"],
        env=ENV,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f":manifest {3 + 10 + 1}\n"
