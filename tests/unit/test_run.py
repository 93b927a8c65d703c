# SPDX-License-Identifier: BSD-3-Clause
"""Who a daemon becomes and what it finds, and the manifest: what needs no link."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import grp
import json
import os
import pty
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.daemon import descriptors, execute, manifest
from rslctl.errors import RslError
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.machine import Machine

TOOLS = Path(__file__).parents[2] / "tools"
RUN = (sys.executable, "-m", "rslctl", "run")


def test_the_environment_keeps_no_word_of_the_callers_own_descriptors() -> None:
    base = {"A": "b", "LISTEN_FDS": "9", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}
    assert execute.environment(base, None, clean=False, more=[]) == {"A": "b"}


def test_a_clean_environment_has_what_is_needed_and_what_is_asked_for() -> None:
    base = {"PATH": "/bin", "SECRET": "x", "LD_PRELOAD": "y", "NOTIFY_SOCKET": "/n", "B": "2"}
    who = execute.User("u", 7, 7, (), "/home/u")
    env = execute.environment(base, who, clean=True, more=["A=1=1", "B"])
    expected = {"PATH": "/bin", "NOTIFY_SOCKET": "/n", "A": "1=1", "B": "2"}
    user = {"HOME": "/home/u", "USER": "u", "LOGNAME": "u", "SHELL": "/bin/sh"}
    assert env == {**expected, **user}


@pytest.mark.parametrize("text", ["=1", "NOT_SET", "", "LISTEN_PID=1"])
def test_a_variable_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RslError, match="is not NAME=VALUE, nor a variable that is set"):
        execute.environment({}, None, clean=True, more=[text])


def test_a_user_has_its_groups_or_those_that_are_given() -> None:
    entry = pwd.getpwnam("nobody")
    assert execute.user("nobody").gid == entry.pw_gid
    assert execute.user(str(entry.pw_uid)).name == "nobody"
    daemon = grp.getgrnam("daemon").gr_gid
    who = execute.user("nobody", "daemon", ["77", "daemon"])
    assert (who.gid, who.groups) == (daemon, (77, daemon))
    assert execute.user("nobody", None, []).groups == ()


def test_a_number_without_an_entry_needs_a_group() -> None:
    with pytest.raises(RslError, match="unknown user '345678'") as error:
        execute.user("345678")
    assert error.value.hint == "a number without an entry needs --group"
    who = execute.user("345678", "345679")
    assert (who.uid, who.gid, who.groups) == (345678, 345679, ())


@pytest.mark.parametrize("name", ["root", "0"])
def test_root_is_no_user_without_privilege(name: str) -> None:
    with pytest.raises(RslError, match="would not be without privilege"):
        execute.user(name, "daemon")


def test_an_unknown_group_is_named(rslctl: Rslctl) -> None:
    status, _, err = rslctl("run", "--user", "nobody", "--groups", "daemon,no-such", "--", "true")
    assert (status, err.splitlines()[0]) == (1, "rslctl: unknown group 'no-such'")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--group", "daemon"), "--group and --groups go with --user"),
        (("--board", "sim"), "--board and --remote go together"),
        (("--remote", "true"), "--board and --remote go together"),
        (("--once-ready",), "--once-ready and --with-remote go with --remote"),
        (("--legacy", "--eventfd"), "--legacy passes no descriptors"),
        (("--legacy", "--board", "sim", "--remote", "x"), "--legacy passes no descriptors"),
        (("--board", "sim", "--remote", "'"), "No closing quotation"),
        (("--board", "sim", "--remote", ""), "the command is empty"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    rslctl: Rslctl, arguments: tuple[str, ...], text: str
) -> None:
    status, _, err = rslctl("run", *arguments, "--", "true")
    assert status == 2
    assert text in err


def test_a_manifest_tells_what_the_profile_does() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        document = json.loads(os.pread(daemon.fds[manifest.NAME], 65536, 0))
        assert document["version"] == 1
        assert document["memory"] == {"base": 0x70000000, "size": 0x1000000, "offset": 0}
        rings = [f"{ring}{n}" for ring in ("notify", "kick") for n in range(4)]
        assert document["descriptors"] == ["shmem", *rings, "manifest"] == list(daemon.fds)
        assert [each["kind"] for each in document["virtio"]["devices"]][:2] == ["rng", "console"]
        assert document["virtio"]["devices"][1]["region"] == {"offset": 0x16000, "size": 0x6000}
        assert document["remote_dt"] == {"offset": 0xF00000, "size": 0x10000}
        other = json.loads(os.pread(remote.fds[manifest.NAME], 65536, 0))
        assert {**other, "role": "daemon"} == document
        assert other["role"] == "remote"


def test_nobody_can_change_a_manifest_or_the_size_of_the_memory() -> None:
    board = reader.load("sim")
    daemon, remote = descriptors.of_programs(board, board.links[0])
    with daemon, remote:
        with pytest.raises(PermissionError):
            os.pwrite(daemon.fds[manifest.NAME], b"x", 0)
        for fd in (daemon.fds["shmem"], remote.fds["shmem"]):
            for size in (0, 1 << 30):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, size)
        seals = fcntl.fcntl(daemon.fds["shmem"], fcntl.F_GET_SEALS)
        assert not seals & fcntl.F_SEAL_WRITE


def test_a_link_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    board = reader.load("sim")
    left = [7]

    def eventfd(*_: int) -> int:
        left[0] -= 1
        if not left[0]:
            raise OSError(24, "Too many open files")
        return os.memfd_create("x")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "eventfd", eventfd)
    with pytest.raises(RslError, match="cannot make link 'rpu0' with 0x1000000 bytes"):
        descriptors.of_programs(board, board.links[0])
    assert os.listdir("/proc/self/fd") == before


def test_memory_that_no_file_can_have_is_told(tmp_path: Path, rslctl: Rslctl) -> None:
    profile = tmp_path / "large.toml"
    profile.write_text(
        'extends = "sim"\n[[link]]\nname = "rpu0"\nremote-dt = false\n'
        "[link.memory]\nbase = 0\nsize = 0x8000000000000000\n"
    )
    status, _, err = rslctl("run", "--board", profile, "--remote", "true", "--", "true")
    assert (status, "0x8000000000000000 bytes of memory" in err) == (1, True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_has_neither_our_terminal_nor_our_keys() -> None:
    """TIOCSTI types into a terminal for whoever reads it next; a session's keys are shared."""
    program = (
        "import ctypes, fcntl, os, termios\n"
        "try: print(os.open('/dev/tty', os.O_RDWR))\n"
        "except OSError as error: print(error.errno)\n"
        "try: print(fcntl.ioctl(0, termios.TIOCSTI, b'x'))\n"
        "except OSError as error: print('refused')\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.syscall({number}, 10, -3, b'user', b'rsltest', 0) < 0)\n"
    ).replace("{number}", str(execute._KEYCTL.get(os.uname().machine, execute._KEYCTL_GENERIC)))
    # A shell with a terminal of its own, a key in its session, and a daemon that is not its leader.
    pid, master = pty.fork()
    if not pid:
        libc = ctypes.CDLL(None)
        libc.syscall(execute._KEYCTL.get(os.uname().machine, execute._KEYCTL_GENERIC), 1, None)
        libc.syscall({"x86_64": 248}.get(os.uname().machine, 217), b"user", b"rsltest", b"s", 1, -3)
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
        command = [*RUN, "--board", "sim", "--remote", "sleep 9", "--user", "nobody", "--"]
        done = subprocess.run(
            [*command, python, "-c", program],
            env={**os.environ, "PYTHONPATH": str(TOOLS)},
            check=False,
        )
        os._exit(done.returncode)
    said = b""
    with contextlib.suppress(OSError):
        while part := os.read(master, 1024):
            said += part
    os.waitpid(pid, 0)
    os.close(master)
    assert said.split() == [str(errno.ENXIO).encode(), b"refused", b"True"]


def test_a_board_without_hardware_is_not_set_up(rslctl: Rslctl, machine: Machine) -> None:
    for command in ("setup", "doctor", "overlay", "remote-dt"):
        status, _, err = rslctl(command, "--board", "sim")
        assert (status, err.splitlines()[0]) == (
            1,
            "rslctl: link 'rpu0' of board 'sim' has no hardware",
        )


def test_a_daemon_inherits_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    stray = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(stray, True)
    program = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    done = subprocess.run(
        [*RUN, "--board", "sim", "--remote", "true", "--", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        close_fds=False,
    )
    os.close(stray)
    assert done.stdout == f"{list(range(3 + 10))}\n"
