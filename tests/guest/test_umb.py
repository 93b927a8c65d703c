# SPDX-License-Identifier: BSD-3-Clause
"""/dev/umb, as a daemon that knows nothing else uses it."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl import mbox
from rslctl.host import Host

from tests.guest.remote import Remote
from tests.guest.test_mailbox import MESSAGE

NODE = "/dev/umb"
NOTIFY = Path("/sys/devices/platform/umb/notify")
DRIVER = Path("/sys/bus/platform/drivers/rsl_mbox_mailbox")


@pytest.fixture(autouse=True)
def sim() -> Iterator[int]:
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    Remote.until(lambda: os.path.exists(NODE), "there is no /dev/umb")
    fd = os.open("/dev/rsl_mbox_sim-sim-umb", os.O_RDWR | os.O_NONBLOCK)
    drain(fd)
    yield fd
    os.close(fd)
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)


def drain(sim: int) -> int:
    """Take all messages that are there; returns how many."""
    taken = 0
    while True:
        try:
            os.read(sim, MESSAGE.size)
        except BlockingIOError:
            return taken
        taken += 1


def notify(sim: int) -> None:
    os.write(sim, MESSAGE.pack(1, 0, 0))


def burst(sim: int) -> None:
    for _ in range(100):
        notify(sim)


@pytest.fixture
def fd() -> Iterator[int]:
    number = os.open(NODE, os.O_RDWR | os.O_NONBLOCK)
    yield number
    os.close(number)


def test_a_read_that_fails_takes_nothing(sim: int, fd: int) -> None:
    notify(sim)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.read(fd, ctypes.c_void_p(8), 20) == -1
    assert ctypes.get_errno() == errno.EFAULT
    assert [os.read(fd, 20), os.read(fd, 20)] == [b"2\n", b"1\n"]


def test_the_node_is_not_for_everybody() -> None:
    assert stat.S_IMODE(os.stat(NODE).st_mode) == 0o600


def test_the_daemon_sleeps_without_work_and_wakes_for_every_notification(sim: int, fd: int) -> None:
    before = resource.getrusage(resource.RUSAGE_THREAD)
    assert select.select([fd], [fd], [], 2) == ([], [], [])
    after = resource.getrusage(resource.RUSAGE_THREAD)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.05

    wakes = 0
    threading.Thread(target=burst, args=(sim,)).start()
    while True:
        readable, writable, _ = select.select([fd], [fd], [], 2)
        assert writable == []
        if not readable:
            break
        assert int(os.read(fd, 20)) > 0
        os.write(fd, b"\n")
        wakes += 1
    # Two for each notification: see docs/abi/dev-umb.
    assert wakes == 200


def test_a_read_tells_how_many_events_there_are(sim: int, fd: int) -> None:
    notify(sim)
    notify(sim)
    assert [os.read(fd, 20) for _ in range(4)] == [b"4\n", b"3\n", b"2\n", b"1\n"]
    with pytest.raises(BlockingIOError):
        os.read(fd, 20)
    notify(sim)
    assert os.read(fd, 1) == b"2"


@pytest.mark.parametrize("data", [b"\n", b"anything at all", b""])
def test_any_write_kicks_and_is_taken_whole(sim: int, fd: int, data: bytes) -> None:
    assert os.write(fd, data) == len(data)
    assert drain(sim) == 1


def test_the_attribute_kicks(sim: int) -> None:
    NOTIFY.write_text("\n")
    assert drain(sim) == 1


def test_every_open_file_gets_every_event(sim: int, fd: int) -> None:
    other = os.open(NODE, os.O_RDONLY | os.O_NONBLOCK)
    notify(sim)
    assert os.read(fd, 20) == os.read(other, 20) == b"2\n"
    os.close(other)


def test_sysfs_tells_that_the_daemon_is_ready() -> None:
    assert mbox.pick(Host(), "umb").open_files == 0
    fd = os.open(NODE, os.O_RDWR)
    assert mbox.pick(Host(), "umb").open_files == 1
    os.close(fd)
    assert mbox.pick(Host(), "umb").open_files == 0


def test_a_blocking_read_waits(sim: int) -> None:
    fd = os.open(NODE, os.O_RDWR)
    threading.Timer(0.3, notify, (sim,)).start()
    start = time.monotonic()
    assert os.read(fd, 20) == b"2\n"
    assert time.monotonic() - start > 0.25
    os.close(fd)


def test_the_end_of_the_device_wakes_the_daemon(sim: int, fd: int) -> None:
    threading.Timer(0.3, lambda: (DRIVER / "unbind").write_text("umb")).start()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(10_000) == [(fd, select.POLLHUP | select.POLLERR)]
    for call in (lambda: os.read(fd, 20), lambda: os.write(fd, b"\n")):
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENODEV):
            call()
    assert not os.path.exists(NODE)
    assert not NOTIFY.exists()
