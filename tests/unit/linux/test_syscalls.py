# SPDX-License-Identifier: BSD-3-Clause
"""System calls that Python has no function for, each in a process of its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.linux import syscalls

from tests.command_line import TOOLS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do it")


def status(calls: str) -> dict[str, str]:
    """The fields of proc_pid_status(5) of a process that has made these calls."""
    program = (
        f"from rslctl.linux.syscalls import *\n{calls}\nprint(open('/proc/self/status').read())"
    )
    out = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return {key: value.strip() for key, _, value in (x.partition(":") for x in out.splitlines())}


def test_the_bounding_set_has_all_capabilities_that_the_kernel_knows() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert list(syscalls.bounding_set()) == list(range(last + 1))


@needs_root
def test_a_capability_that_is_dropped_cannot_be_had_again() -> None:
    before = int(status("")["CapBnd"], 16)
    if not before & 1 << 5:
        pytest.skip("this process may not have capability 5")
    assert int(status("drop_from_bounding_set(5)")["CapBnd"], 16) == before & ~(1 << 5)


def test_a_process_without_capabilities_has_none_of_any_set() -> None:
    now = status("clear_capabilities()")
    assert [int(now[each], 16) for each in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0] * 4


def test_a_process_may_have_no_new_privileges() -> None:
    assert status("")["NoNewPrivs"] == "0"
    assert status("set_no_new_privileges()")["NoNewPrivs"] == "1"


def test_a_process_can_leave_the_keys_of_its_session() -> None:
    assert status("join_session_keyring()")["Name"]


def test_a_process_ends_with_its_parent_where_that_is_wanted() -> None:
    program = (
        "import os, signal, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from rslctl.linux import syscalls\n"
        "reading, writing = os.pipe()\n"
        "if not os.fork():\n"
        "    syscalls.end_with_parent(signal.SIGKILL)\n"
        "    os.write(writing, b'x')\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.read(reading, 1)\n"
    )
    # The output ends with the last process that has it.
    subprocess.run(
        [sys.executable, "-c", program, TOOLS], stdout=subprocess.PIPE, check=True, timeout=30
    )


def test_a_mount_that_the_kernel_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as error:
        syscalls.mount("tmpfs", str(tmp_path / "none"), "tmpfs", syscalls.MS_NOEXEC)
    assert (error.value.errno, error.value.filename) == (errno.ENOENT, str(tmp_path / "none"))


@needs_root
def test_nobody_else_sees_mounts_of_ones_own(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from rslctl.linux import syscalls\n"
        "try: syscalls.unshare_mounts()\n"
        "except PermissionError: sys.exit(7)\n"
        "syscalls.mount('tmpfs', sys.argv[2], 'tmpfs', syscalls.MS_NOSUID, 'mode=0700')\n"
        "open(sys.argv[2] + '/file', 'w').close()\n"
        "print(oct(os.stat(sys.argv[2]).st_mode))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, TOOLS, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 7:
        pytest.skip("this root may not have mounts of its own")
    assert (done.returncode, done.stdout) == (0, "0o40700\n")
    assert list(tmp_path.iterdir()) == []
