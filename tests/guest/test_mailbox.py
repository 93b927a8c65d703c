# SPDX-License-Identifier: BSD-3-Clause
"""The mailbox transport, on simulated controllers of each style."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import REAL_TIME

#: struct rsl_mbox_sim_message: channel, word, coalesced.
MESSAGE = struct.Struct("=IIQ")

#: Link: vectors, distance of two vectors' channels, first channel for notifications.
LINKS = {
    "ipcc": (4, 2, 1),
    "mhuv2": (4, 2, 1),
    "mhu": (32, 0, 1),
    "mu": (8, 0, 1),
    "imx": (8, 0, 4),
    "imxdb": (1, 16, 12),
    "omap": (16, 0, 0),
    "ipi": (4, 0, 1),
    "ipi1": (1, 2, 1),
    "sgi": (1, 2, 1),
    "txdb": (1, 2, 1),
    "stranger": (1, 2, 1),
    "bell": (1, 2, 1),
    "fallback": (1, 2, 1),
}

#: Links whose controller tells when the remote has taken a message.
TELLING = ("ipcc", "mhuv2", "mhu", "mu", "imx", "omap", "ipi", "stranger")

#: Links that can be reset: interrupts that can be held off, and messages that are sent at once.
RESETTABLE = ("ipi1", "sgi")


@pytest.fixture(scope="module", autouse=True)
def modules() -> Iterator[None]:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    Remote.until(
        lambda: {link.name for link in mbox.find(Host())} >= {*LINKS, "full", "left"},
        "the links do not come up",
    )
    yield
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)


class Simulator:
    """The remote's side of a simulated controller."""

    def __init__(self, name: str) -> None:
        self._fd = os.open(f"/dev/rsl_mbox_sim-sim-{name}", os.O_RDWR | os.O_NONBLOCK)
        self._fd_link = os.open(mbox.pick(Host(), name).node, os.O_RDWR | os.O_NONBLOCK)
        self.link = mbox.pick(Host(), name)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._fd_link)

    def kick(self, mask: int) -> None:
        os.write(self._fd_link, uapi.MASK.pack(mask))

    def read(self) -> int:
        mask: int = uapi.MASK.unpack(os.read(self._fd_link, 4))[0]
        return mask

    def take(self, timeout: float = 30) -> tuple[int, int]:
        """Channel and word of a message; the remote has taken it then."""
        select.select([self._fd], [], [], timeout)
        channel, word, _ = MESSAGE.unpack(os.read(self._fd, MESSAGE.size))
        return channel, word

    def idle(self) -> bool:
        try:
            self.take(0)
        except BlockingIOError:
            return True
        return False

    def notify(self, channel: int, word: int, *, lose_acknowledgement: bool = False) -> None:
        os.write(self._fd, MESSAGE.pack(channel, word, lose_acknowledgement))

    def attribute(self, name: str) -> Path:
        return Path(f"/sys/class/rsl_mbox/{self.link.device}/{name}")

    def reset(self) -> None:
        self.attribute("reset").write_text("1\n")

    def stalled_ms(self) -> int:
        return int(self.attribute("stalled_ms").read_text())


@pytest.fixture
def sim(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    simulator = Simulator(request.param)
    while not simulator.idle():
        time.sleep(0.01)
    yield simulator
    while not simulator.idle():
        time.sleep(0.01)
    simulator.close()


COUNT = int(os.environ.get("SIMFLOOD_COUNT", "20000"))

#: Links with an interrupt's handler in a thread, where each message costs the emulator a lot;
#: on PREEMPT_RT all are.
THREADED = ("mhuv2",)


@pytest.mark.parametrize("name", LINKS)
def test_kicks_and_notifications_add_up_exactly(name: str) -> None:
    vectors, stride, rx_channel = LINKS[name]
    link = mbox.pick(Host(), name)
    assert link.vectors == vectors
    assert link.transport == "mailbox"
    seed = 20261122
    count = COUNT // 20 if name in THREADED or REAL_TIME else COUNT
    numbers = [str(number) for number in (vectors, stride, rx_channel, count, seed)]
    # The remote of this test does not wait for the end of a storm.
    Path(f"{mbox.CLASS}/{link.device}/storm_limit").write_text("0\n")
    done = subprocess.run(
        ["/guest/bin/simflood", link.node, f"/dev/rsl_mbox_sim-sim-{name}", *numbers],
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"seed {seed}: {done.stdout}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sim", TELLING, indirect=True)
def test_a_remote_that_takes_nothing_blocks_nobody_and_recovers_by_itself(sim: Simulator) -> None:
    before = mbox.counters(Host(), sim.link)[0]
    start = time.monotonic()
    for _ in range(100_000):
        sim.kick(1)
    assert time.monotonic() - start < 60
    time.sleep(0.05)
    assert sim.stalled_ms() >= 50
    now = mbox.counters(Host(), sim.link)[0]
    assert now.kicks - before.kicks == 100_000
    assert now.kicks_coalesced - before.kicks_coalesced == 100_000 - 2
    # One in flight and one that waited, then the link is as it was.
    for _ in range(2):
        Remote.until(lambda: not sim.idle(), "a kick is missing")
    Remote.until(lambda: sim.stalled_ms() == 0, "the link stays stalled")
    sim.kick(1)
    Remote.until(lambda: not sim.idle(), "the next kick does not get through")
    assert sim.idle()


@pytest.mark.parametrize("sim", ["mhu", "mu", "imx", "omap", "ipi"], indirect=True)
def test_one_message_carries_several_vectors(sim: Simulator) -> None:
    sim.kick(0b1010)
    assert sim.take()[1] == 0b1010
    sim.notify(LINKS[sim.link.name][2], 0b0110)
    assert sim.read() == 0b0110


@pytest.mark.parametrize("sim", ["mu"], indirect=True)
def test_vectors_kicked_while_one_is_on_its_way_travel_together(sim: Simulator) -> None:
    for mask in (1, 2, 4, 2):
        sim.kick(mask)
    assert sim.take() == (0, 1)
    assert sim.take() == (0, 6)
    assert sim.idle()


@pytest.mark.parametrize("sim", ["mu"], indirect=True)
@pytest.mark.parametrize("word", [0, 0xFFFFFF00])
def test_a_message_that_names_no_vector_wakes_all(sim: Simulator, word: int) -> None:
    sim.notify(1, word)
    assert sim.read() == 0xFF


@pytest.mark.parametrize("sim", ["full"], indirect=True)
def test_a_controller_that_refuses_messages_is_tried_again(sim: Simulator) -> None:
    before = mbox.counters(Host(), sim.link)[0]
    for _ in range(1000):
        sim.kick(1)
    assert sim.stalled_ms() >= 0
    after = mbox.counters(Host(), sim.link)[0]
    # The first arrived, one is in the framework's queue, one waits; the log is quiet.
    assert after.kicks_coalesced - before.kicks_coalesced == 1000 - 3
    # The two that were not sent are tried every 10 ms, without a kick.
    for _ in range(3):
        assert sim.take() == (0, 0)
    assert (sim.idle(), sim.stalled_ms()) == (True, 0)


@pytest.mark.parametrize("sim", ["full"], indirect=True)
def test_a_kick_tries_a_refused_message_again_at_once(sim: Simulator) -> None:
    sim.kick(1)
    for _ in range(100):
        sim.kick(1)
        assert sim.take(0) == (0, 0)
        sim.kick(1)
        assert sim.take(0) == (0, 0)
        assert sim.take() == (0, 0)
        sim.kick(1)
    assert sim.take(0) == (0, 0)


@pytest.mark.parametrize("sim", ["ipi", "ipi1", "sgi"], indirect=True)
def test_what_is_received_is_acknowledged(sim: Simulator) -> None:
    # The simulator answers EAGAIN to the second where the first was not.
    for _ in range(100):
        sim.notify(1, 1)
    assert sim.read() == 1


@pytest.mark.parametrize("sim", RESETTABLE, indirect=True)
def test_reset_while_notifications_come_on_another_core(sim: Simulator) -> None:
    assert os.cpu_count() == 2
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {1})
        while True:
            with contextlib.suppress(BlockingIOError):
                sim.notify(1, 1)
    os.sched_setaffinity(0, {0})
    for _ in range(1000):
        sim.reset()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.sched_setaffinity(0, {0, 1})
    assert mbox.counters(Host(), sim.link)[0].notifications > 0
    sim.reset()
    with contextlib.suppress(BlockingIOError):
        sim.read()
    sim.notify(1, 1)
    assert sim.read() == 1


@pytest.mark.parametrize("sim", RESETTABLE, indirect=True)
def test_reset_unmasks_what_an_acknowledgement_does_not(sim: Simulator) -> None:
    sim.notify(1, 1, lose_acknowledgement=True)
    assert sim.read() == 1
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            sim.notify(1, 1)
    sim.reset()
    sim.notify(1, 1)
    assert sim.read() == 1


@pytest.mark.parametrize("sim", [*sorted(LINKS.keys() - set(RESETTABLE)), "full"], indirect=True)
def test_reset_is_refused_where_the_controller_cannot_be_stopped(sim: Simulator) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EOPNOTSUPP):
        sim.reset()


@pytest.mark.parametrize("sim", ["ipi1"], indirect=True)
@pytest.mark.parametrize("text", ["0", "x", "2 "])
def test_reset_takes_nothing_but_yes(sim: Simulator, text: str) -> None:
    fd = os.open(sim.attribute("reset"), os.O_WRONLY)
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EINVAL):
        os.write(fd, text.encode())
    os.close(fd)
