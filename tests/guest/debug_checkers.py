# SPDX-License-Identifier: BSD-3-Clause
"""What is worth doing on a kernel with checkers: races at the ends of lives, and a fuzzer.

The fixture quiet_kernel fails a test when the log gains a warning, which is how KASAN, lockdep,
UBSAN and the others report; kmemleak is asked at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import KMEMLEAK, forget_leaks, leaks

NOTIFY = Path("/sys/devices/platform/umb/notify")
CYCLES = int(os.environ.get("CYCLES", "1000"))
CALLS = int(os.environ.get("CALLS", "1000000"))

#: Links to work on, with their drivers: real interrupts of both kinds, and a simulated mailbox.
LINKS = {
    "rpu0": "rsl_mbox_doorbell",
    "level": "rsl_mbox_doorbell",
    "mu": "rsl_mbox_mailbox",
    "ipi": "rsl_mbox_mailbox",
    "umb": "rsl_mbox_mailbox",
}

#: A link that nothing is done to.
HELD = "mhu"

#: In delete_module(2) of arm64: include/uapi/asm-generic/unistd.h.
SYS_DELETE_MODULE = 106


@pytest.fixture(scope="module", autouse=True)
def modules() -> Iterator[None]:
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    Remote.until(lambda: len(mbox.find(Host())) >= 12, "the links do not come up")
    forget_leaks()
    yield
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)


def bind(fd: int, vector: int, direction: int, eventfd: int) -> None:
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(vector, direction, eventfd, 0))


def platform_device(name: str) -> str:
    device = Path("/sys/class/rsl_mbox") / mbox.pick(Host(), name).device / "device"
    return device.resolve().name


def test_the_checkers_are_awake() -> None:
    stats = Path("/proc/lockdep_stats").read_text()
    assert "debug_locks:                             1" in stats
    assert KMEMLEAK.exists()
    assert "kasan" in Path("/proc/kallsyms").read_text()


class Users(threading.Thread):
    """Opens, maps, polls, reads, kicks and binds until told to stop, whatever happens."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__()
        self._name = name
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.stopped = threading.Event()
        self.uses = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._use()
            except OSError:
                time.sleep(0.001)
            except Exception as error:  # a link that goes away while it is looked up
                if "cannot" not in str(error) and "no link" not in str(error):
                    raise

    def _use(self) -> None:
        link = mbox.pick(Host(), self._name)
        fd = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
        eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        try:
            bind(fd, 0, uapi.NOTIFY, eventfds[0])
            bind(fd, 0, uapi.KICK, eventfds[1])
            memory = mmap.mmap(fd, mmap.PAGESIZE) if link.memory_size else None
            for _ in range(self._random.randrange(20)):
                os.eventfd_write(eventfds[1], 1)
                os.write(fd, uapi.MASK.pack(self._random.randrange(1 << min(link.vectors, 8))))
                select.select([fd, eventfds[0]], [], [], 0.001)
            self._use_umb(link)
            if memory:
                memory.close()
            self.uses += 1
        finally:
            for each in self._random.sample([fd, *eventfds], 3):
                os.close(each)

    def _use_umb(self, link: mbox.LinkDevice) -> None:
        umb = os.open(umb_node(link), os.O_RDWR | os.O_NONBLOCK)
        try:
            memory = mmap.mmap(umb, mmap.PAGESIZE) if link.memory_size else None
            os.write(umb, b"\n")
            if link.name == "umb":
                NOTIFY.write_text("\n")
            select.select([umb], [umb], [], 0.001)
            if memory:
                memory.close()
            with contextlib.suppress(BlockingIOError):
                os.read(umb, 20)
        finally:
            os.close(umb)


def umb_node(link: mbox.LinkDevice) -> str:
    """The node of a link that has the interface of the original module."""
    return "/dev/umb" if link.name == "umb" else link.node.replace("rsl_mbox", "rsl_umb")


def try_to_remove() -> bool:
    """Try to remove the module, which is refused while a file or a binding is there."""
    libc = ctypes.CDLL(None)
    if libc.syscall(SYS_DELETE_MODULE, b"rsl_mbox", os.O_NONBLOCK):
        return False
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    return True


@pytest.mark.parametrize("name", LINKS)
def test_unbinding_under_users_of_every_kind(name: str) -> None:
    device = platform_device(name)
    driver = Path("/sys/bus/platform/drivers") / LINKS[name]
    users = [Users(name, seed) for seed in range(2)]
    for user in users:
        user.start()
    removed = 0
    holder = -1
    cycles = CYCLES // len(LINKS)
    for cycle in range(cycles):
        # Most of the time another link's file keeps the module, and now and then none does.
        if holder >= 0:
            os.close(holder)
            holder = -1
        if cycle % 20:
            holder = os.open(mbox.pick(Host(), HELD).node, os.O_RDONLY)
        removed += try_to_remove()
        if (driver / device).exists():
            (driver / "unbind").write_text(device)
        removed += try_to_remove()
        if not (driver / device).exists():
            (driver / "bind").write_text(device)
        removed += try_to_remove()
        time.sleep(0.02)
    if holder >= 0:
        os.close(holder)
    for user in users:
        user.stopped.set()
        user.join()
    uses = sum(user.uses for user in users)
    print(f"{name}: {cycles} cycles, {uses} uses, removed {removed} of {3 * cycles} times")
    assert uses > cycles / 10
    assert 0 < removed < cycles
    Remote.until(lambda: bool(mbox.find(Host())), "no link came back")


@pytest.mark.parametrize("name", LINKS)
def test_random_calls(name: str) -> None:
    link = mbox.pick(Host(), name)
    seed = int(os.environ.get("SEED", str(time.time_ns() & 0xFFFFFFFF)))
    print(f"{name}: {CALLS // len(LINKS)} calls, seed {seed}")
    subprocess.run(
        [
            "/guest/bin/callfuzz",
            link.node,
            f"/sys/class/rsl_mbox/{link.device}",
            str(CALLS // len(LINKS)),
            str(seed),
            umb_node(link),
            *([str(NOTIFY)] if name == "umb" else []),
        ],
        check=True,
    )


def test_eventfds_closed_while_they_are_signalled() -> None:
    link = mbox.pick(Host(), "rpu0")
    control = Remote(link)
    control.flood(0xF, 1 << 31, 200)
    fd = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    for _ in range(CYCLES):
        eventfds = [os.eventfd(0) for _ in range(4)]
        for vector, eventfd in enumerate(eventfds):
            bind(fd, vector, uapi.NOTIFY, eventfd)
        for eventfd in eventfds:
            os.close(eventfd)
    assert control.flood_left() > 0
    control.flood(0, 0, 0)
    os.close(fd)
    control.close()


def test_nothing_leaked() -> None:
    assert KMEMLEAK.exists()
    assert not leaks()
