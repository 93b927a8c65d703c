# SPDX-License-Identifier: BSD-3-Clause
"""The board's remote as a remoteproc: it starts and stops as often as one wants, and recovers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.errors import WaitTimeoutError
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest.remote import MAGIC, Remote

RPROC = Path("/sys/class/remoteproc/remoteproc0")
DEBUG = Path("/sys/kernel/debug/remoteproc/remoteproc0")
ALL = 0xF


def state() -> str:
    return (RPROC / "state").read_text().strip()


def start(remote: Remote) -> None:
    (RPROC / "state").write_text("start")
    assert state() == "running"
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")


def stop() -> None:
    (RPROC / "state").write_text("stop")
    assert state() == "offline"


def kick_all(link: mbox.LinkDevice, remote: Remote) -> None:
    """Kick each vector, and be notified on it."""
    with mbox.Mailbox(Host(), link) as mailbox:
        for vector in range(link.vectors):
            before = remote.counts(vector)
            mailbox.kick(1 << vector)
            assert mailbox.wait(ALL, 60) == 1 << vector
            after = remote.counts(vector)
            assert after["kick_taken"] == before["kick_taken"] + 1
            assert after["notify_sent"] == before["notify_sent"] + 1


def nothing_comes(mailbox: mbox.Mailbox) -> None:
    with pytest.raises(WaitTimeoutError):
        mailbox.wait(ALL, 1)


@pytest.fixture
def link() -> Iterator[mbox.LinkDevice]:
    """The link, and a remoteproc that is off."""
    subprocess.run(["modprobe", "-a", "rsl_mbox", "rsl_remoteproc_psci"], check=True)
    assert state() == "offline"
    yield mbox.pick(Host(), "rpu0")
    if state() != "offline":
        stop()
    subprocess.run(["modprobe", "-r", "-a", "rsl_remoteproc_psci", "rsl_mbox"], check=True)


def test_a_remote_that_nobody_started_is_off(link: mbox.LinkDevice, remote: Remote) -> None:
    assert (RPROC / "name").read_text() == "70fff000.remoteproc\n"
    assert (RPROC / "firmware").read_text() == "rsl-remote.elf\n"
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(1)
        nothing_comes(mailbox)
    assert remote.magic() == 0


def test_each_of_ten_starts_brings_a_remote_that_answers(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    for _ in range(10):
        start(remote)
        assert remote.counts(0)["kick_taken"] == 0
        kick_all(link, remote)
        stop()
        assert remote.magic() == 0


def test_a_kick_of_a_stopped_remote_is_lost_and_does_no_harm(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    start(remote)
    kick_all(link, remote)
    stop()
    before = remote.counts(0)
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(ALL)
        nothing_comes(mailbox)
        assert remote.counts(0) == before
        start(remote)
        nothing_comes(mailbox)
    kick_all(link, remote)


def test_a_start_without_firmware_is_refused(link: mbox.LinkDevice) -> None:
    (RPROC / "firmware").write_text("none.elf")
    with pytest.raises(FileNotFoundError):
        (RPROC / "state").write_text("start")
    assert state() == "offline"
    (RPROC / "firmware").write_text("rsl-remote.elf")
    logged = subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "none.elf" in logged


@pytest.mark.parametrize("kind", ["1", "2"])
def test_a_crash_is_recovered_from(link: mbox.LinkDevice, remote: Remote, kind: str) -> None:
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    try:
        (DEBUG / "recovery").write_text("enabled")
        start(remote)
        kick_all(link, remote)
        (DEBUG / "crash").write_text(kind)
        # The remote's counters begin anew with it.
        Remote.until(
            lambda: remote.magic() == MAGIC and remote.counts(0)["kick_taken"] == 0,
            "the remote was not started again",
        )
        Remote.until(lambda: state() == "running", "it does not run")
        kick_all(link, remote)
    finally:
        subprocess.run(["umount", "/sys/kernel/debug"], check=True)
    # These are what the kernel says of a crash, as errors.
    logged = subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "crash detected in 70fff000.remoteproc" in logged
    assert "recovering 70fff000.remoteproc" in logged


def test_a_crash_without_recovery_leaves_it_crashed_until_it_is_stopped(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    try:
        (DEBUG / "recovery").write_text("disabled")
        start(remote)
        (DEBUG / "crash").write_text("1")
        Remote.until(lambda: state() == "crashed", "it did not crash")
        stop()
        start(remote)
        kick_all(link, remote)
    finally:
        subprocess.run(["umount", "/sys/kernel/debug"], check=True)
    subprocess.run(["dmesg", "-c"], stdout=subprocess.DEVNULL, check=True)


def test_removing_the_driver_stops_the_remote(link: mbox.LinkDevice, remote: Remote) -> None:
    start(remote)
    subprocess.run(["modprobe", "-r", "rsl_remoteproc_psci"], check=True)
    assert remote.magic() == 0
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    start(remote)
    kick_all(link, remote)
