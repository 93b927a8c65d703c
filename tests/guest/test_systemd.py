# SPDX-License-Identifier: BSD-3-Clause
"""The units of tools/systemd under systemd, with a remote that Linux boots."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest.remote import MAGIC, Remote
from tests.guest.support import VIRTIO_MAGIC, header, set_header

CONFIG = Path("/etc/rslctl")
DROP_IN = Path("/run/systemd/system/rsl-daemon@rpu0.service.d/ready.conf")
RPROC = Path("/sys/class/remoteproc/remoteproc0")
CRASH = Path("/sys/kernel/debug/remoteproc/remoteproc0/crash")
SETUP, DAEMON, WATCH = "rsl-setup@my-board", "rsl-daemon@rpu0", "rsl-watch@rpu0"

PROFILE = """\
extends = "qemu-virt"

[[link]]
name = "rpu0"
"""
REMOTEPROC = """\

[link.remoteproc]
node = "/remoteproc@70fff000"
firmware = "rsl-remote.elf"
"""

#: Tells that it is ready once it is allowed to, and then sleeps at its link.
PROGRAM = """\
import os, time
from rslctl import client
with client.receive() as link:
    while not os.path.exists("/run/ready"):
        time.sleep(0.1)
    link.ready()
    while True:
        link.wait()
"""


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--no-pager", *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def shown(unit: str, name: str) -> str:
    return systemctl("show", "--value", "-p", name, unit).stdout.strip()


def active(unit: str) -> str:
    return shown(unit, "ActiveState")


def state() -> str:
    return (RPROC / "state").read_text().strip()


def journal() -> str:
    return subprocess.run(
        ["journalctl", "-b", "--no-pager", "-o", "cat", "-u", "rsl-*"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.fixture
def units(request: pytest.FixtureRequest) -> Iterator[None]:
    """The configuration of an image builder, for a remote that is known unless the test says
    otherwise; afterwards, everything is down again.
    """
    (CONFIG / "boards").mkdir(parents=True, exist_ok=True)
    known = getattr(request, "param", True)
    (CONFIG / "boards/my-board.toml").write_text(PROFILE + (REMOTEPROC if known else ""))
    program = Path("/run/daemon.py")
    program.write_text(PROGRAM)
    (CONFIG / "rpu0.env").write_text(f"RSL_DAEMON=/usr/bin/python3 {program}\n")
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Service]\nType=notify\n")
    Path("/run/ready").touch()
    systemctl("daemon-reload")
    yield
    systemctl("stop", "rsl.target")
    systemctl("disable", SETUP)
    systemctl("reset-failed")
    subprocess.run(["rslctl", "teardown"], check=True)
    DROP_IN.unlink()


def until(unit: str, wanted: str) -> None:
    Remote.until(lambda: active(unit) == wanted, f"{unit} does not get {wanted}: {journal()}")


def answers() -> bool:
    link = mbox.pick(Host(), "rpu0")
    remote = Remote(link)
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
    remote.answer(0xF)
    remote.close()
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(2)
        return mailbox.wait(2, 30) == 2


def is_open() -> bool:
    """Whether the link is there, and the daemon has it open."""
    links = mbox.find(Host())
    return bool(links and links[0].open_files)


def bring_up() -> None:
    assert systemctl("enable", SETUP).returncode == 0
    assert systemctl("start", DAEMON).returncode == 0, journal()
    assert active(DAEMON) == "active"


def test_the_daemon_brings_all_it_needs_in_order(units: None) -> None:
    Path("/run/ready").unlink()
    assert systemctl("enable", SETUP).returncode == 0
    assert systemctl("start", "--no-block", DAEMON).returncode == 0
    Remote.until(is_open, "the daemon does not start")
    assert (active(SETUP), active(DAEMON), state()) == ("active", "activating", "offline")
    Path("/run/ready").touch()
    until(DAEMON, "active")
    assert state() == "running"
    assert answers()
    until(WATCH, "active")
    # All of it ends in order, too.
    assert systemctl("stop", "rsl.target").returncode == 0
    until(WATCH, "inactive")
    until(DAEMON, "inactive")
    assert state() == "offline"
    until(SETUP, "inactive")
    assert state() == "offline"
    assert not list(Path("/run/rslctl").glob("*.json"))


def test_a_link_that_is_taken_down_takes_its_daemon_down_before(units: None) -> None:
    bring_up()
    assert systemctl("stop", SETUP).returncode == 0
    until(SETUP, "inactive")
    assert (active(DAEMON), shown(SETUP, "Result"), state()) == ("inactive", "success", "offline")
    assert not list(Path("/run/rslctl").glob("*.json"))


def test_a_daemon_that_dies_is_restarted_and_its_remote_with_it(units: None) -> None:
    bring_up()
    pid = shown(DAEMON, "MainPID")
    before = journal()
    subprocess.run(["kill", "-9", pid], check=True)
    Remote.until(lambda: shown(DAEMON, "NRestarts") == "1", "it is not restarted")
    until(DAEMON, "active")
    told = [line for line in journal().removeprefix(before).splitlines() if "remoteproc0" in line]
    assert [line.rpartition(": ")[2] for line in told] == ["stopped", "started"]
    assert shown(DAEMON, "MainPID") not in ("0", pid)
    assert state() == "running"
    assert answers()
    until(WATCH, "active")


def test_a_remote_that_crashes_is_restarted_and_its_daemon_with_it(units: None) -> None:
    bring_up()
    until(WATCH, "active")
    pid = shown(DAEMON, "MainPID")
    CRASH.write_text("1")
    Remote.until(lambda: shown(DAEMON, "MainPID") not in ("0", pid), "the daemon stays")
    until(DAEMON, "active")
    assert state() == "running"
    assert answers()
    until(WATCH, "active")
    # What the kernel says of a crash, as errors.
    logged = subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "crash detected" in logged


def test_a_daemon_with_built_in_names_is_ready_when_it_waits_for_its_remote(units: None) -> None:
    Path("/run/ready").unlink()
    arguments = "--hold /run/ready --shmem-addr {shmem_addr} --shmem-size {shmem_size} 1000000000"
    (CONFIG / "rpu0.env").write_text(f"RSL_DAEMON=/guest/bin/legacyd {arguments}\n")
    shutil.copy("/etc/systemd/system/legacy.conf", DROP_IN)
    systemctl("daemon-reload")
    assert systemctl("enable", SETUP).returncode == 0
    assert systemctl("start", SETUP).returncode == 0
    set_header("rpu0", 0)
    assert systemctl("start", "--no-block", DAEMON).returncode == 0
    Remote.until(lambda: header("rpu0") == VIRTIO_MAGIC, f"it does not start: {journal()}")
    # It has the memory since long, and is not ready.
    time.sleep(1)
    assert (active(DAEMON), state(), is_open()) == ("activating", "offline", False)
    Path("/run/ready").touch()
    until(DAEMON, "active")
    assert (state(), is_open()) == ("running", True)
    assert answers()
    until(WATCH, "active")
    pid = shown(DAEMON, "MainPID")
    assert Path(f"/proc/{pid}/exe").resolve() == Path("/guest/bin/legacyd")
    # systemd shares its mounts with every namespace, unless that says no.
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert [line[6].split(":")[0] for line in mounts if line[4] == "/dev"] == ["shared"]
    assert not any(line[4].startswith(("/dev/umb", "/sys/class")) for line in mounts)
    assert not os.path.exists("/dev/umb")
    # It clears the memory, so the remote it finds afterwards is one that was restarted.
    subprocess.run(["kill", "-9", pid], check=True)
    Remote.until(lambda: shown(DAEMON, "NRestarts") == "1", "it is not restarted")
    until(DAEMON, "active")
    assert answers()


@pytest.mark.parametrize("units", [False], indirect=True, ids=["no remote"])
def test_a_daemon_whose_remote_is_started_by_others_runs_as_well(units: None) -> None:
    DROP_IN.write_text("")
    systemctl("daemon-reload")
    bring_up()
    Remote.until(lambda: shown(WATCH, "ConditionResult") != "", "the watch is not tried")
    Remote.until(lambda: active(WATCH) == "inactive", "there is nothing to watch")
    assert shown(WATCH, "Result") == "exec-condition"
    assert (active(DAEMON), shown(DAEMON, "NRestarts"), is_open()) == ("active", "0", True)
    assert systemctl("stop", DAEMON).returncode == 0
    assert (active(DAEMON), shown(DAEMON, "Result"), is_open()) == ("inactive", "success", False)
