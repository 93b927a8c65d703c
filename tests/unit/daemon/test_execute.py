# SPDX-License-Identifier: BSD-3-Clause
"""Who a daemon becomes, and what it finds."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pty
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rslctl.daemon import execute
from rslctl.errors import RslError
from rslctl.linux import syscalls

from tests.command_line import TOOLS, Rslctl

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


def test_root_is_at_home_with_no_other_user() -> None:
    who = execute.User("u", 7, 7, (), "/home/u")
    base = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/zsh", "X": "1"}
    user = {"HOME": "/home/u", "USER": "u", "LOGNAME": "u", "SHELL": "/bin/sh", "X": "1"}
    assert execute.environment(base, who, clean=False, more=[]) == user
    assert execute.environment(base, who, clean=False, more=["HOME=/x"])["HOME"] == "/x"
    assert execute.environment(base, None, clean=False, more=[]) == base


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize(("mode", "stays"), [(0o700, False), (0o711, False), (0o755, True)])
def test_a_user_is_in_no_directory_that_it_may_not_enter(
    tmp_path: Path, mode: int, stays: bool
) -> None:
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(mode)
    program = "from rslctl.daemon import execute; import os; execute.drop_rights(execute.user("
    program += "'nobody')); execute._leave_directory(); print(os.getcwd())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command,
        cwd=place,
        env=dict(os.environ, PYTHONPATH=str(TOOLS)),
        capture_output=True,
        text=True,
    )
    place.rmdir()
    assert done.stdout == (f"{place}\n" if stays else "/\n"), done.stderr


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
    ).replace("{number}", str(syscalls._KEYCTL.get(os.uname().machine, syscalls._KEYCTL_GENERIC)))
    # A shell with a terminal of its own, a key in its session, and a daemon that is not its leader.
    pid, master = pty.fork()
    if not pid:
        libc = ctypes.CDLL(None)
        libc.syscall(syscalls._KEYCTL.get(os.uname().machine, syscalls._KEYCTL_GENERIC), 1, None)
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
