# SPDX-License-Identifier: BSD-3-Clause
"""Monitors beside a daemon, on the interrupts of a live board."""

from __future__ import annotations

import json
import signal
import subprocess

from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl


def watching(*arguments: str) -> subprocess.Popen[str]:
    """A monitor that has the link open."""
    command = ["rslctl", "monitor", *arguments]
    monitor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert monitor.stderr is not None
    assert "watching link" in monitor.stderr.readline()
    return monitor


def test_monitors_and_a_daemon_each_see_every_notification(link: mbox.LinkDevice) -> None:
    monitors = [watching("-n", "5", "--timeout", "30", "--json") for _ in range(2)]
    times = []
    with mbox.Mailbox(Host(), link) as daemon:
        outputs = [monitor.stdout for monitor in monitors]
        found = []
        for vector in (0, 1, 2, 3, 1):
            daemon.kick(1 << vector)
            assert daemon.wait(1 << vector, 10) == 1 << vector
            last = daemon.last(vector)
            times.append(last.time)
            expected = {"link": link.name, "vector": vector, "time": last.time, "count": last.count}
            for output in outputs:
                assert output is not None
                found.append(json.loads(output.readline()))
                assert found[-1] == expected
    assert times == sorted(set(times))
    assert [monitor.wait(30) for monitor in monitors] == [0, 0]


def test_a_monitor_shows_only_its_vectors_in_its_format(link: mbox.LinkDevice) -> None:
    monitor = watching("2", "-n", "1", "--timeout", "30", "--format", "%l:%v")
    with mbox.Mailbox(Host(), link) as daemon:
        for vector in (1, 2):
            daemon.kick(1 << vector)
            assert daemon.wait(1 << vector, 10) == 1 << vector
    assert monitor.communicate(timeout=30)[0] == "rpu0:2\n"
    assert monitor.returncode == 0


def test_a_monitor_ends_with_status_4_when_nothing_comes(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    status, out, err = rslctl("monitor", "--timeout", "0.2")
    assert (status, out) == (4, "")
    assert "no notification on link 'rpu0' in 0.2 s" in err


def test_an_interrupted_monitor_is_done(link: mbox.LinkDevice) -> None:
    monitor = watching()
    monitor.send_signal(signal.SIGINT)
    assert monitor.wait(30) == 0
