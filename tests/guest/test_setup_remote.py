# SPDX-License-Identifier: BSD-3-Clause
"""The order of start and stop on a remote that Linux boots: the second core, by remoteproc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import MAGIC, Remote

RPROC = Path("/sys/class/remoteproc/remoteproc0")
CRASH = Path("/sys/kernel/debug/remoteproc/remoteproc0/crash")
NODE = "/remoteproc@70fff000"
PROFILE = f"""\
extends = "qemu-virt"

[[link]]
name = "rpu0"

[link.remoteproc]
node = "{NODE}"
firmware = "rsl-remote.elf"
"""


def state() -> str:
    return (RPROC / "state").read_text().strip()


@pytest.fixture
def profile(tmp_path: Path, rslctl: Rslctl) -> Iterator[str]:
    """A profile that says what boots the remote, which its driver has and has not booted."""
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    (RPROC / "recovery").write_text("enabled")
    file = tmp_path / "board.toml"
    file.write_text(PROFILE)
    yield str(file)
    status, _, err = rslctl("teardown")
    assert status == 0, err
    assert (RPROC / "recovery").read_text() == "enabled\n"
    if state() != "offline":
        (RPROC / "state").write_text("stop")
    subprocess.run(["modprobe", "-r", "rsl_remoteproc_psci"], check=True)


def link() -> mbox.LinkDevice:
    return mbox.pick(Host(), "rpu0")


def answers() -> bool:
    """Whether the remote answers a kick of a daemon."""
    with mbox.Mailbox(Host(), link()) as mailbox:
        remote = Remote(link())
        Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
        remote.answer(0xF)
        mailbox.kick(2)
        answered = mailbox.wait(2, 30) == 2
        remote.close()
    return answered


def test_the_remote_waits_for_its_daemon_and_outlives_it(profile: str, rslctl: Rslctl) -> None:
    status, out, err = rslctl("setup", "--board", profile)
    assert status == 0, err
    assert "left until its daemon is ready: rslctl remote start --link rpu0" in out
    assert (state(), (RPROC / "recovery").read_text()) == ("offline", "disabled\n")
    for ringing in (["kick", "1"], ["bench"]):
        status, _, err = rslctl(*ringing)
        assert status == 1
        assert "the remote of link 'rpu0' is offline: nobody there to be kicked" in err
    status, _, err = rslctl("remote", "start", "--timeout", "0.3")
    assert (status, state()) == (4, "offline"), err
    waiting = subprocess.Popen(["rslctl", "remote", "start", "--timeout", "60"])
    watching = subprocess.Popen(["rslctl", "monitor"], stderr=subprocess.PIPE, text=True)
    assert watching.stderr and "watching link" in watching.stderr.readline()
    # Who only watches is no daemon.
    assert (link().open_files, state(), waiting.poll()) == (0, "offline", None)
    daemon = os.open(link().node, os.O_RDWR)
    assert (waiting.wait(60), state()) == (0, "running")
    watching.kill()
    watching.communicate()
    assert answers()
    assert rslctl("kick", "1")[0] == 0
    status, _, err = rslctl("remote", "stop")
    assert (status, state()) == (1, "running")
    assert "link 'rpu0' is in use: it is open 1 times" in err
    os.close(daemon)
    (finding,) = [
        each for each in json.loads(rslctl("doctor", "--json")[1]) if each["check"][:6] == "remote"
    ]
    assert finding["check"] == "remote-alone"
    assert rslctl("remote", "stop")[0] == 0
    assert state() == "offline"


def test_a_remote_that_needs_no_daemon_is_started_by_setup_and_stopped_by_teardown(
    profile: str, rslctl: Rslctl
) -> None:
    Path(profile).write_text(PROFILE + 'start = "setup"\n')
    status, out, err = rslctl("setup", "--board", profile, "--firmware", "rsl-remote.elf")
    assert status == 0, err
    assert f"remote {NODE} running with firmware rsl-remote.elf: done" in out
    assert state() == "running"
    assert answers()
    assert f"remote {NODE} running" in rslctl("setup", "--board", profile)[1]
    assert rslctl("teardown")[0] == 0
    assert state() == "offline"


def test_a_firmware_that_is_not_there_is_told_and_leaves_nothing(
    profile: str, rslctl: Rslctl
) -> None:
    Path(profile).write_text(PROFILE + 'start = "setup"\n')
    status, _, err = rslctl("setup", "--board", profile, "--firmware", "none.elf")
    assert status == 1
    assert "there is no firmware '/lib/firmware/none.elf' for remoteproc0" in err
    assert (state(), (RPROC / "firmware").read_text()) == ("offline", "rsl-remote.elf\n")


def test_a_crash_is_seen_told_and_recovered_from(profile: str, rslctl: Rslctl) -> None:
    assert rslctl("setup", "--board", profile)[0] == 0
    daemon = os.open(link().node, os.O_RDWR)
    assert rslctl("remote", "start")[0] == 0
    pipe = subprocess.PIPE
    watching = subprocess.Popen(["rslctl", "remote", "watch"], stdout=pipe, stderr=pipe, text=True)
    assert watching.stderr and "watching the remote" in watching.stderr.readline()
    assert answers()
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    try:
        CRASH.write_text("1")
        assert watching.wait(60) == 0
    finally:
        subprocess.run(["umount", "/sys/kernel/debug"], check=True)
    assert ((watching.stdout and watching.stdout.read()) or "").startswith("rpu0: remoteproc0 (")
    assert state() == "crashed"
    status, out, _ = rslctl("doctor")
    assert status == 1
    assert "error: remote-crashed: rpu0: remoteproc0 has crashed" in out
    (shown,) = json.loads(rslctl("status", "--json")[1])
    assert (shown["remote"], shown["board"]) == ("crashed", profile)
    # Its old daemon must not find it restarted.
    status, _, err = rslctl("remote", "start")
    assert (status, "remoteproc0 has crashed" in err, state()) == (1, True, "crashed")
    out = rslctl("setup", "--board", profile)[1]
    assert "left, it has crashed: stop its daemon, then rslctl remote stop --link rpu0" in out
    assert rslctl("remote", "stop")[0] == 1
    os.close(daemon)
    assert rslctl("remote", "stop")[0] == 0
    assert state() == "offline"
    daemon = os.open(link().node, os.O_RDWR)
    assert rslctl("remote", "start")[0] == 0
    assert answers()
    os.close(daemon)
    # What the kernel says of a crash, as errors.
    logged = subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "crash detected" in logged


@pytest.mark.parametrize("start", ["daemon", "setup"])
def test_teardown_of_a_crashed_remote_leaves_it_stopped_as_it_was(
    profile: str, rslctl: Rslctl, start: str
) -> None:
    other = Path("/lib/firmware/other.elf")
    shutil.copy(other.with_name("rsl-remote.elf"), other)
    text = PROFILE.replace("rsl-remote.elf", other.name)
    Path(profile).write_text(f'{text}start = "{start}"\n')
    assert rslctl("setup", "--board", profile)[0] == 0
    if start == "daemon":
        assert rslctl("remote", "start", "--force")[0] == 0
    assert (state(), (RPROC / "firmware").read_text()) == ("running", "other.elf\n")
    assert answers()
    (RPROC / "recovery").write_text("disabled")
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    CRASH.write_text("1")
    Remote.until(lambda: state() == "crashed", "it does not crash")
    subprocess.run(["umount", "/sys/kernel/debug"], check=True)
    status, _, err = rslctl("teardown")
    assert status == 0, err
    assert (state(), (RPROC / "firmware").read_text()) == ("offline", "rsl-remote.elf\n")
    if start == "setup":
        (RPROC / "recovery").write_text("enabled")
    subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True)


def test_a_restart_behind_its_back_ends_a_watch(profile: str, rslctl: Rslctl) -> None:
    assert rslctl("setup", "--board", profile)[0] == 0
    assert rslctl("remote", "start", "--force")[0] == 0
    watching = subprocess.Popen(
        ["rslctl", "remote", "watch"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert watching.stderr and "watching the remote" in watching.stderr.readline()
    assert answers()
    (RPROC / "state").write_text("stop")
    (RPROC / "state").write_text("start")
    assert watching.wait(60) == 0
    watching.communicate()
    assert rslctl("remote", "stop")[0] == 0


def test_a_healthy_board_has_no_finding_that_is_an_error(profile: str, rslctl: Rslctl) -> None:
    assert rslctl("setup", "--board", profile)[0] == 0
    daemon = os.open(link().node, os.O_RDWR)
    assert rslctl("remote", "start")[0] == 0
    status, out, _ = rslctl("doctor", "--json")
    os.close(daemon)
    assert (status, [each["check"] for each in json.loads(out)]) == (0, ["uio-device-memory"])
    assert rslctl("remote", "stop")[0] == 0


def test_a_driver_that_is_not_loaded_is_named(profile: str, rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", "-r", "rsl_remoteproc_psci"], check=True)
    status, out, _ = rslctl("doctor", "--board", profile)
    assert status == 1
    assert f"rpu0: {NODE} has no driver yet, and this kernel has one, rsl_remoteproc_psci" in out
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    assert "remote-driver" not in rslctl("doctor", "--board", profile)[1]
    (RPROC / "recovery").write_text("enabled")


def test_a_remote_that_others_start_again_is_seen(profile: str, rslctl: Rslctl) -> None:
    assert rslctl("setup", "--board", profile)[0] == 0
    daemon = os.open(link().node, os.O_RDWR)
    assert rslctl("remote", "start")[0] == 0
    assert answers()
    assert "remote-restarted" not in rslctl("doctor")[1]
    pipe = subprocess.PIPE
    watching = subprocess.Popen(["rslctl", "remote", "watch"], stdout=pipe, stderr=pipe, text=True)
    assert watching.stderr and "watching the remote" in watching.stderr.readline()
    (RPROC / "state").write_text("stop")
    (RPROC / "state").write_text("start")
    assert (watching.wait(60), state()) == (0, "running")
    watching.communicate()
    status, out, _ = rslctl("doctor")
    assert status == 1
    assert "error: remote-restarted: rpu0: remoteproc0 was started again under its daemon" in out
    status, _, err = rslctl("remote", "start")
    assert (status, "was started again under its daemon" in err) == (1, True)
    # As its remedy says.
    os.close(daemon)
    assert rslctl("remote", "stop")[0] == 0
    daemon = os.open(link().node, os.O_RDWR)
    assert rslctl("remote", "start")[0] == 0
    assert "remote-restarted" not in rslctl("doctor")[1]
    os.close(daemon)
