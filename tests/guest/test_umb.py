# SPDX-License-Identifier: BSD-3-Clause
"""/dev/umb, as a daemon that knows nothing else uses it."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import select
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

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
    """Send a message, and wait until it was received: on PREEMPT_RT a thread does that."""
    before = received()
    Remote.until(lambda: sent(sim), "the message before it is not received")
    Remote.until(lambda: received() > before, "the message is not received")


def received() -> int:
    (counter,) = Path("/sys/devices/platform/umb/rsl_mbox").glob("*/vector0/notifications")
    return int(counter.read_text())


def sent(sim: int) -> bool:
    try:
        os.write(sim, MESSAGE.pack(1, 0, 0))
    except BlockingIOError:
        return False
    return True


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
    sender = threading.Thread(target=burst, args=(sim,))
    sender.start()
    while True:
        readable, writable, _ = select.select([fd], [fd], [], 2)
        assert writable == []
        if not readable and not sender.is_alive():
            break
        if not readable:
            continue
        assert int(os.read(fd, 20)) > 0
        os.write(fd, b"\n")
        wakes += 1
    # Two for each notification: see docs/reference/abi/dev-umb.
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


def open_files() -> int:
    return mbox.pick(Host(), "umb").open_files


def poll(fd: int) -> None:
    select.select([fd], [], [], 0)


def read(fd: int) -> None:
    with pytest.raises(BlockingIOError):
        os.read(fd, 20)


@pytest.mark.parametrize("wait", [poll, read])
def test_sysfs_tells_that_the_daemon_is_ready(wait: Callable[[int], None], sim: int) -> None:
    fd = os.open(NODE, os.O_RDWR | os.O_NONBLOCK)
    os.write(fd, b"\n")
    assert open_files() == 0
    # However often, and from however many threads at once.
    threads = [threading.Thread(target=wait, args=(fd,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_files() == 1
    other = os.open(NODE, os.O_RDWR | os.O_NONBLOCK)
    os.close(other)
    assert open_files() == 1
    os.close(fd)
    assert open_files() == 0
    drain(sim)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY])
def test_who_only_watches_or_only_kicks_is_no_daemon(flags: int) -> None:
    fd = os.open(NODE, flags | os.O_NONBLOCK)
    poll(fd)
    assert open_files() == 0
    os.close(fd)


def umb_of(name: str) -> tuple[mbox.LinkDevice, str]:
    """A link of another kind of node, and its device with this interface."""
    link = mbox.pick(Host(), name)
    return link, link.device.replace("rsl_mbox", "rsl_umb")


def test_every_link_has_the_interface() -> None:
    for link in mbox.find(Host()):
        name = "umb" if link.name == "umb" else umb_of(link.name)[1]
        number = Path(mbox.CLASS, link.device, name, "dev").read_text().strip()
        found = os.stat(f"/dev/{name}")
        assert number == f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_write_kicks_every_vector_and_each_answer_is_two_events() -> None:
    link, name = umb_of("rpu0")
    # A real remote, by doorbell, which answers each kick.
    fd = os.open(f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK)
    before = sum(each.notifications for each in mbox.counters(Host(), link))
    os.write(fd, b"\n")
    Remote.until(
        lambda: (
            sum(each.notifications for each in mbox.counters(Host(), link)) == before + link.vectors
        ),
        "the remote does not answer",
    )
    assert os.read(fd, 20) == b"%d\n" % (2 * link.vectors)
    os.close(fd)


@pytest.mark.parametrize("name", ["rpu0", "bell"])
def test_the_shared_memory_can_be_mapped(name: str) -> None:
    link, device = umb_of(name)
    with (
        open(f"/dev/{device}", "r+b", buffering=0) as umb,
        open(link.node, "r+b", buffering=0) as node,
    ):
        size = link.memory_size // 2  # the remote's counters are in the last page
        with mmap.mmap(umb.fileno(), size) as ours, mmap.mmap(node.fileno(), size) as other:
            # Unaligned, which Device memory would not take.
            ours[1:24] = bytes(range(23))
            assert other[1:24] == bytes(range(23))
        with pytest.raises(OSError, match="Invalid argument"):
            mmap.mmap(umb.fileno(), 2 * link.memory_size)
        assert mbox.pick(Host(), name).open_files == 1  # that of node


def test_a_link_without_memory_cannot_be_mapped(fd: int) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENODEV):
        mmap.mmap(fd, mmap.PAGESIZE)


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
