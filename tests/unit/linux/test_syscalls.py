# SPDX-License-Identifier: BSD-3-Clause
"""System calls that Python has no function for, tried on processes of our own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rslctl.linux import syscalls

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")


def status_after(do: Callable[[], object]) -> dict[str, str]:
    """What /proc/self/status says after *do*, in another process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            do()
            os.write(writer, Path("/proc/self/status").read_bytes())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as file:
        lines = file.read().splitlines()
    os.waitpid(pid, 0)
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def drop_all() -> None:
    for capability in syscalls.bounding_set():
        syscalls.drop_from_bounding_set(capability)
    syscalls.clear_capabilities()


@only_root
def test_no_capability_is_left_and_none_can_come_back() -> None:
    status = status_after(drop_all)
    found = {name: value for name, value in status.items() if name.startswith("Cap")}
    assert (len(found), set(found.values())) == (5, {"0" * 16})


def test_the_bounding_set_has_every_capability_of_the_kernel() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert list(syscalls.bounding_set()) == list(range(last + 1))


def test_a_capability_that_is_none_is_an_error() -> None:
    with pytest.raises(OSError, match=r"Operation not permitted|Invalid argument"):
        syscalls.drop_from_bounding_set(9999)


def test_new_privileges_are_given_up_for_good() -> None:
    assert status_after(syscalls.set_no_new_privileges)["NoNewPrivs"] == "1"


def test_a_process_ends_with_its_parent() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if not parent:
        child = os.fork()
        if not child:
            syscalls.end_with_parent(signal.SIGKILL)
            os.write(writer, b"%d" % os.getpid())
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
        os._exit(0)
    pid = int(os.read(reader, 32))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in state(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(reader)
    os.close(writer)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


@only_root
def test_mounts_of_a_namespace_of_its_own_are_nobody_elses(tmp_path: Path) -> None:
    def mount() -> None:
        syscalls.unshare_mounts()
        syscalls.mount("tmpfs", str(tmp_path), "tmpfs", syscalls.MS_NOSUID, "mode=0755")
        (tmp_path / "inside").touch()

    status_after(mount)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_that_is_refused_names_its_target(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No such device|Operation not permitted") as raised:
        syscalls.mount("none", str(tmp_path), "no-such-file-system", 0)
    assert raised.value.filename == str(tmp_path)
