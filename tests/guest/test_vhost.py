# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's vhost-vsock on a link, with eventfds bound to its vectors: no process between.

vhost-vsock reads and writes virtqueues in the link's memory. The remote's driver is played by
tests/guest/vsock_driver.py, which says what of it. Each notification, in both directions, is an
interrupt that the remote's core has taken and one that it has made.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import device_name, readable, unbind
from tests.guest.test_eventfd import bind, bound
from tests.guest.test_memory import window
from tests.guest.vsock_driver import BUFFER_SIZE, PORT, RX, TX, Driver, Layout

NOBODY = 65534
ROUNDS = 300

#: Where windows begin in the shared memory.
FIRST, SECOND = 0x200000, 0x400000


class Vectors:
    """Which vectors a device has."""

    def __init__(self, notify: int, rx: int, tx: int) -> None:
        """The driver notifies the device by *notify*, and the device interrupts the driver by *rx*
        and *tx*, one for each queue.
        """
        self.notify, self.rx, self.tx = notify, rx, tx


APART = Vectors(3, 1, 2)
#: As on a board that has no more.
ONE = Vectors(0, 0, 0)


class Device:
    """A vhost-vsock device in a window of the link's memory, and the driver of it.

    A process without rights sets the device up. It has the only descriptors of the eventfds
    that are bound for the device.
    """

    def __init__(self, link: mbox.LinkDevice, cid: int, offset: int, vectors: Vectors) -> None:
        self.cid, self.vectors = cid, vectors
        assert link.memory_base is not None
        self.base, self.size = link.memory_base + offset, link.memory_size - offset
        self._node = os.open(link.node, os.O_RDWR)
        self._window = window(self._node, offset, Layout.SIZE)
        self.error = os.eventfd(0, os.EFD_NONBLOCK)
        self._interrupt = os.eventfd(0)
        for vector in {vectors.rx, vectors.tx}:
            bind(self._node, vector, uapi.NOTIFY, self._interrupt)
        self.driver = Driver(self._window, self.base, cid, self._notify, self._interrupt)
        self._holder = self._start()

    def _notify(self) -> None:
        os.write(self._node, uapi.MASK.pack(1 << self.vectors.notify))

    def _start(self) -> subprocess.Popen[str]:
        """Bind the eventfds as root, and have nobody do the rest with them."""
        vhost = os.open("/dev/vhost-vsock", os.O_RDWR)
        eventfds = []
        for vector in (self.vectors.rx, self.vectors.tx):
            kick, call = os.eventfd(0), os.eventfd(0)
            bind(self._node, self.vectors.notify, uapi.NOTIFY, kick)
            bind(self._node, vector, uapi.KICK, call)
            eventfds += [kick, call]
        arguments = [vhost, self._window, self.base, self.cid, self.error, *eventfds]
        holder = subprocess.Popen(
            [sys.executable, "-m", "tests.guest.vhost_vsock", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[vhost, self._window, self.error, *eventfds],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
        )
        for number in (vhost, *eventfds):
            os.close(number)
        assert holder.stdout
        assert holder.stdout.readline() == f"serving as uid {NOBODY}, CapPrm {0:016x}\n"
        Remote.until(lambda: self._status(holder)["State"] == "S (sleeping)", "the holder works")
        return holder

    @staticmethod
    def _status(holder: subprocess.Popen[str]) -> dict[str, str]:
        # Of its first thread: later kernels run vhost's worker as another one.
        text = Path(f"/proc/{holder.pid}/task/{holder.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines())

    def holder_runs(self) -> int:
        """How often the process that has set up the device gave up a core, by now."""
        status = self._status(self._holder)
        return sum(int(status[f"{name}_ctxt_switches"]) for name in ("voluntary", "nonvoluntary"))

    def close(self) -> None:
        early = self._holder.poll()
        self._holder.communicate()
        try:
            self.driver.close()
        finally:
            for number in (self._node, self._window, self.error, self._interrupt):
                os.close(number)
        assert (early, self._holder.returncode) == (None, 0), "the holder has failed"


Make = Callable[..., Device]


@pytest.fixture
def vhost() -> None:
    subprocess.run(["modprobe", "vhost_vsock"], check=True)


@pytest.fixture
def device(link: mbox.LinkDevice, vhost: None) -> Iterator[Make]:
    """Makes devices."""
    made: list[Device] = []

    def make(cid: int, offset: int, vectors: Vectors, *, started: bool = True) -> Device:
        made.append(Device(link, cid, offset, vectors))
        if started:
            made[-1].driver.start()
        return made[-1]

    yield make
    for each in made:
        each.close()


def start_client(
    device: Device, *, rounds: int, port: int = PORT, timeout: int = 60
) -> subprocess.Popen[str]:
    arguments = (str(number) for number in (device.cid, port, rounds, timeout))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.guest.vsock_client", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


def succeeds(client: subprocess.Popen[str], rounds: int) -> None:
    out, err = client.communicate(timeout=600)
    assert client.returncode == 0, err
    assert out.startswith(f"{rounds} round trips, ")
    print(out)


def fails(client: subprocess.Popen[str], reason: str) -> None:
    out, err = client.communicate(timeout=600)
    assert (client.returncode, out, err) == (1, "", f"connect: {reason}\n")


def test_a_program_talks_with_the_remote_over_af_vsock_without_a_process_between(
    link: mbox.LinkDevice, remote: Remote, device: Make
) -> None:
    served = device(42, FIRST, APART)
    before = mbox.counters(Host(), link)
    taken = [remote.counts(vector)["kick_taken"] for vector in range(4)]
    runs = served.holder_runs()
    succeeds(start_client(served, rounds=ROUNDS), ROUNDS)
    assert served.holder_runs() == runs
    after = mbox.counters(Host(), link)
    # An answer needs an interrupt on each side at least.
    for vector in (APART.notify, APART.rx):
        assert after[vector].notifications - before[vector].notifications >= ROUNDS
        assert remote.counts(vector)["kick_taken"] - taken[vector] >= ROUNDS
    assert after[APART.tx].notifications > before[APART.tx].notifications
    assert not readable(served.error, 0)


def test_a_port_that_the_remote_does_not_serve_refuses(device: Make) -> None:
    served = device(42, FIRST, APART)
    fails(start_client(served, rounds=1, port=PORT + 1), "ECONNRESET")
    succeeds(start_client(served, rounds=1), 1)


def test_two_devices_work_at_once_over_one_vector(link: mbox.LinkDevice, device: Make) -> None:
    devices = [device(42, FIRST, ONE), device(43, SECOND, ONE)]
    # For each of the two, a kick and a call of each queue, and its driver's interrupt.
    assert bound(link, 0) == (2 * (2 + 1), 2 * 2)
    clients = [start_client(each, rounds=ROUNDS) for each in devices]
    for client in clients:
        succeeds(client, ROUNDS)
    assert [bound(link, vector) for vector in (1, 2, 3)] == [(0, 0)] * 3
    assert not any(readable(each.error, 0) for each in devices)


@pytest.mark.usefixtures("vhost")
def test_the_end_of_the_process_that_holds_the_descriptors_ends_the_device(
    link: mbox.LinkDevice,
) -> None:
    served = Device(link, 42, FIRST, APART)
    served.driver.start()
    assert sum(sum(bound(link, vector)) for vector in range(4)) == 6
    served.close()
    Remote.until(
        lambda: sum(sum(bound(link, vector)) for vector in range(4)) == 0, "eventfds stay bound"
    )


@pytest.mark.parametrize("queue", [RX, TX], ids=["rx", "tx"])
@pytest.mark.parametrize("where", ["behind the window", "across its end", "in no memory"])
def test_a_descriptor_outside_of_the_memory_is_an_error_and_hurts_nobody(
    link: mbox.LinkDevice, device: Make, queue: int, where: str
) -> None:
    wrong = device(42, FIRST, APART, started=False)
    right = device(43, SECOND, APART)
    at = {
        "behind the window": Layout.SIZE,
        "across its end": Layout.SIZE - BUFFER_SIZE // 2,
        "in no memory": wrong.size,
    }[where]
    with (
        open(link.node, "r+b", buffering=0) as node,
        mmap.mmap(node.fileno(), 2 * BUFFER_SIZE, offset=FIRST + Layout.SIZE) as behind,
    ):
        pattern = os.urandom(len(behind))
        behind[:] = pattern
        ring = wrong.driver.rx if queue == RX else wrong.driver.tx
        ring.put(wrong.base + at, BUFFER_SIZE, writable=queue == RX)
        wrong.driver.notify()
        if queue == RX:
            # What vhost has to write needs a buffer.
            fails(start_client(wrong, rounds=1, timeout=2), "ETIMEDOUT")
        assert readable(wrong.error)
        assert ring.used_index == 0
        succeeds(start_client(right, rounds=12), 12)
        assert behind[:] == pattern
    assert not readable(right.error, 0)


def test_after_the_end_of_the_link_vhost_reaches_nobody(
    link: mbox.LinkDevice, remote: Remote, device: Make
) -> None:
    served = device(42, FIRST, APART)
    succeeds(start_client(served, rounds=12), 12)
    Remote.until(lambda: served.driver.idle, "the connection stays open")
    served.driver.stop()
    name = device_name()
    unbind()
    taken = [remote.counts(vector)["kick_taken"] for vector in range(4)]
    used = served.driver.rx.used_index
    fails(start_client(served, rounds=1, timeout=2), "ETIMEDOUT")
    # It still has the memory, which stays reserved, and has put a packet there.
    assert served.driver.rx.used_index != used
    Path("/sys/bus/platform/drivers/rsl_mbox_doorbell/bind").write_text(name)
    # The link that came back is another one for it.
    again = mbox.pick(Host(), link.name)
    fails(start_client(served, rounds=1, timeout=2), "ETIMEDOUT")
    assert [counters.kicks for counters in mbox.counters(Host(), again)] == [0] * 4
    assert [bound(again, vector) for vector in range(4)] == [(0, 0)] * 4
    assert [remote.counts(vector)["kick_taken"] for vector in range(4)] == taken
    assert not readable(served.error, 0)
