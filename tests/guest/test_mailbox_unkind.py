# SPDX-License-Identifier: BSD-3-Clause
"""The mailbox transport on controllers that are as unkind as the kernel's drivers.

The simulator's source says which driver each behaviour is from.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import REAL_TIME
from tests.guest.test_mailbox import LINKS, RESETTABLE, Simulator, modules, sim
from tests.guest.test_trace import events, in_hardirq, probe, tracing

#: Fixtures of other tests that are those of this one, too.
__all__ = ["modules", "sim", "tracing"]

WINDOW = Path("/sys/module/rsl_mbox_sim/parameters/window")
MONITOR = Path("/sys/module/rsl_mbox_sim/parameters/monitor")
DRIVER = Path("/sys/bus/platform/drivers/rsl_mbox_mailbox")
CONTROLLER = Path("/sys/bus/platform/drivers/rsl_mbox_sim")


@pytest.fixture
def window(request: pytest.FixtureRequest) -> Iterator[float]:
    """Have handlers wait between a message and its callback; microseconds, given as seconds."""
    WINDOW.write_text(str(request.param))
    yield request.param / 1e6
    WINDOW.write_text("0")


def enough(count: Callable[[], int] | None = None) -> Iterator[None]:
    """Go on for five seconds, and on a busy host for up to two minutes.

    There are more than 100 rounds, and *count*, if given, gets above 100.
    """
    begun = time.monotonic()
    for rounds in itertools.count(1):
        yield
        found = min(rounds, count()) if count else rounds
        if time.monotonic() > begun + 5 and found > 100:
            print(f"{rounds} rounds")
            break
        assert time.monotonic() < begun + 120, f"only {found} in two minutes"


def notifications(sim: Simulator) -> int:
    """The notifications of vector 0 so far."""
    return mbox.counters(Host(), sim.link)[0].notifications


class OtherCore:
    """A process on the second core; the calling one is on the first meanwhile."""

    def __init__(self, work: Callable[[], None], *, endless: bool = True) -> None:
        assert os.cpu_count() == 2
        self._child = os.fork()
        if not self._child:
            os.sched_setaffinity(0, {1})
            while True:
                with contextlib.suppress(BlockingIOError):
                    work()
                    if not endless:
                        os._exit(0)
        os.sched_setaffinity(0, {0})

    def __enter__(self) -> OtherCore:
        return self

    def __exit__(self, *error: object) -> None:
        os.sched_setaffinity(0, {0, 1})
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)

    def join(self, timeout: float = 20) -> None:
        """Wait until its work is done."""
        Remote.until(self._ended, "the second core does not come back", timeout)

    def _ended(self) -> bool:
        child, status = os.waitpid(self._child, os.WNOHANG)
        if child:
            self._child = 0
            assert status == 0
        return bool(child)


def device(name: str) -> str:
    """The platform device of a link."""
    link = Path("/sys/class/rsl_mbox") / mbox.pick(Host(), name).device / "device"
    return link.resolve().name


def interrupts(name: str) -> int:
    """How often the controller of a link has interrupted, the one under way among them."""
    for line in Path("/proc/interrupts").read_text().splitlines():
        words = line.replace(",", "").split()
        if f"rsl_mbox_sim-sim-{name}" in words:
            return sum(int(word) for word in words[1 : 1 + (os.cpu_count() or 1)])
    raise AssertionError(f"no interrupt of {name}")


def bind(link: str, platform_device: str) -> None:
    """Have the link back."""
    (DRIVER / "bind").write_text(platform_device)
    Remote.until(lambda: link in {each.name for each in mbox.find(Host())}, "no link")


def answers(name: str) -> bool:
    """Whether a link works in both directions."""
    simulator = Simulator(name)
    try:
        while not simulator.idle():
            time.sleep(0.001)
        simulator.kick(1)
        taken = simulator.take()
        with contextlib.suppress(BlockingIOError):
            simulator.read()
        simulator.notify(LINKS[name][2], 1)
        return taken[0] in (0, 8) and simulator.read() == 1
    finally:
        simulator.close()


@pytest.mark.parametrize("sim", ["mhuv2"], indirect=True)
def test_a_kick_that_waits_is_sent_after_a_tx_done_under_the_controllers_lock(
    sim: Simulator,
) -> None:
    sim.kick(1)
    sim.kick(1)

    def take() -> None:
        assert sim.take(0) == (0, 0)

    for _ in range(2):
        with OtherCore(take, endless=False) as remote:
            remote.join()
    assert sim.idle()


def test_the_first_kick_waits_for_a_message_that_an_earlier_link_left() -> None:
    """The remote is off while the link is set up anew: arm_mhuv2.c keeps its message."""
    simulator, platform_device = Simulator("left"), device("left")
    simulator.kick(1)
    simulator.close()
    (DRIVER / "unbind").write_text(platform_device)
    bind("left", platform_device)
    simulator = Simulator("left")
    simulator.kick(1)

    def take() -> None:
        assert simulator.take() == (0, 0)

    for _ in range(2):
        assert simulator.stalled_ms() > 0
        with OtherCore(take, endless=False) as remote:
            remote.join()
    Remote.until(lambda: simulator.stalled_ms() == 0, "it is not told")
    assert simulator.idle()
    simulator.close()


@pytest.mark.skipif(not REAL_TIME, reason="no handler is a thread that a reader preempts")
def test_the_work_of_a_reader_that_preempts_the_handler_is_no_storm() -> None:
    """On one core. A message has 32 vectors, so a few are enough to look for a storm."""
    simulator, other = Simulator("mhu"), Path("/sys/devices/system/cpu/cpu1/online")
    other.write_text("0\n")
    reader = os.fork()
    if not reader:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
        with mbox.Mailbox(Host(), simulator.link) as mailbox:
            while mailbox.wait(0xFFFFFFFF, None):
                end = time.monotonic() + 0.01
                while time.monotonic() < end:
                    pass
    try:
        before = sum(storms for storms, _ in mbox.storms(Host(), simulator.link))
        time.sleep(1)
        for _ in range(200):
            simulator.notify(LINKS["mhu"][2], 0xFFFFFFFF)
        after = sum(storms for storms, _ in mbox.storms(Host(), simulator.link))
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
        other.write_text("1\n")
        simulator.close()
    assert after == before


@pytest.mark.parametrize("sim", ["mhuv2"], indirect=True)
def test_kicks_and_tx_dones_under_the_controllers_lock_do_not_wait_for_each_other(
    sim: Simulator,
) -> None:
    reader, writer = os.pipe()

    def take() -> None:
        os.write(writer, bytes([sim.take()[0] // 2]))

    with OtherCore(take):
        # No vector is kicked again before its message was taken, so no tx_done sends.
        sim.kick(0b1111)
        for _ in enough():
            sim.kick(1 << os.read(reader, 1)[0])
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("window", [500_000], indirect=True)
@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_ends_waits_for_a_callback_under_way(name: str, window: float) -> None:
    simulator = Simulator(name)
    platform_device = device(name)
    before = interrupts(name)
    with OtherCore(lambda: simulator.notify(LINKS[name][2], 1), endless=False) as remote:
        Remote.until(lambda: interrupts(name) > before, "no interrupt")
        start = time.monotonic()
        (DRIVER / "unbind").write_text(platform_device)
        took = time.monotonic() - start
        # A thread, as mhuv2 has and all have on PREEMPT_RT, may not have begun by then.
        assert took > window / 3 or name == "mhuv2" or REAL_TIME
        remote.join()
    simulator.close()
    bind(name, platform_device)
    WINDOW.write_text("0")
    assert answers(name)


@pytest.mark.parametrize("window", [20_000], indirect=True)
@pytest.mark.parametrize("name", ["ipcc", "stranger"])
def test_a_link_ends_while_the_remote_notifies(name: str, window: float) -> None:
    """No handler begins between the wait for those that run and the end of the channels."""
    simulator = Simulator(name)
    platform_device = device(name)
    with OtherCore(lambda: simulator.notify(LINKS[name][2], 1)):
        for _ in range(20):
            (DRIVER / "unbind").write_text(platform_device)
            bind(name, platform_device)
            time.sleep(0.05)
    simulator.close()
    WINDOW.write_text("0")
    assert answers(name)


@pytest.mark.parametrize("name", ["ipi1", "mhuv2"])
def test_a_link_ends_before_its_controller(name: str) -> None:
    """Also where the controller is a node that is no device, so that the kernel links nothing."""
    platform_device = device(name)
    (CONTROLLER / "unbind").write_text(f"sim-{name}")
    assert name not in {each.name for each in mbox.find(Host())}
    (CONTROLLER / "bind").write_text(f"sim-{name}")
    # The kernel may bind a link again that it knows to need the controller.
    with contextlib.suppress(OSError):
        (DRIVER / "bind").write_text(platform_device)
    Remote.until(lambda: name in {each.name for each in mbox.find(Host())}, "no link")
    assert answers(name)


@pytest.fixture
def monitor() -> Iterator[None]:
    """Have each acknowledgment take so long that a slow remote makes a storm.

    A storm is 100 deliveries in 100 ms that take 25 ms of them (link.c: STORM_FEWEST,
    STORM_SPENT_MS). 260 us each are enough for that, and leave most of the 100 ms to a remote
    whose emulator shares its cores with others.
    """
    before = MONITOR.read_text()
    MONITOR.write_text("260")
    yield
    MONITOR.write_text(before)


@pytest.mark.parametrize("sim", ["ipi1"], indirect=True)
def test_a_storm_does_not_own_the_core_of_a_slow_controller(monitor: None, sim: Simulator) -> None:
    """The time of the deliveries is too much, long before the limit is."""
    storms = sim.attribute("vector0/storms")
    assert storms.read_text() == "0\n"
    with OtherCore(lambda: sim.notify(1, 1)):
        Remote.until(lambda: int(storms.read_text()) > 0, "no storm")
    assert int(sim.attribute("storm_limit").read_text()) == 100000
    Remote.until(lambda: sim.attribute("vector0/masked").read_text() == "\n", "no end")
    sim.read()
    assert answers("ipi1")


@pytest.mark.parametrize("sim", ["stranger"], indirect=True)
def test_an_eventfd_may_kick_from_a_notification_under_the_controllers_lock(
    sim: Simulator,
) -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    fd = os.open(sim.link.node, os.O_RDWR)
    for direction in (uapi.NOTIFY, uapi.KICK):
        fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(0, direction, eventfd, 0))
    with OtherCore(lambda: sim.notify(1, 1), endless=False) as remote:
        remote.join()
    assert sim.take() == (0, 0)
    os.close(fd)
    os.close(eventfd)


@pytest.mark.parametrize("window", [5], indirect=True)
@pytest.mark.parametrize("sim", RESETTABLE, indirect=True)
def test_a_reset_meets_no_callback(sim: Simulator, window: float) -> None:
    before = notifications(sim)
    with OtherCore(lambda: sim.notify(1, 1)):
        for _ in enough(lambda: notifications(sim) - before):
            sim.reset()


@pytest.mark.parametrize("sim", ["mhu", "ipi"], indirect=True)
def test_a_polled_controller_under_traffic_refuses_a_reset_and_goes_on(sim: Simulator) -> None:
    def traffic() -> None:
        sim.kick(1)
        sim.take(0)

    before = mbox.counters(Host(), sim.link)[0].kicks
    with OtherCore(traffic):
        for _ in enough(lambda: mbox.counters(Host(), sim.link)[0].kicks - before):
            with pytest.raises(OSError, check=lambda error: error.errno == errno.EOPNOTSUPP):
                sim.reset()


@pytest.mark.parametrize("name", LINKS)
def test_a_link_ends_while_the_remote_takes_what_was_kicked(name: str) -> None:
    simulator = Simulator(name)
    platform_device = device(name)
    with OtherCore(lambda: simulator.take() and None):
        for _ in range(10):
            with mbox.Mailbox(Host(), mbox.pick(Host(), name)) as mailbox:
                for _ in range(20):
                    mailbox.kick(1)
            (DRIVER / "unbind").write_text(platform_device)
            bind(name, platform_device)
    simulator.close()
    assert answers(name)


@pytest.mark.parametrize(
    ("sim", "hard"), [("ipi1", True), ("sgi", True), ("mhuv2", False)], indirect=["sim"]
)
def test_the_simulator_calls_back_where_the_driver_does(
    sim: Simulator, hard: bool, tracing: Path
) -> None:
    probe("mbox_chan_received_data")
    for _ in range(10):
        sim.notify(1, 1)
    flags = [flags for flags, name, _ in events() if name == "probed"]
    assert len(flags) == 10
    # An interrupt thread on PREEMPT_RT, but where the driver does not let it be one.
    hard = hard and (sim.link.name == "sgi" or not REAL_TIME)
    assert [in_hardirq(each) for each in flags] == [hard] * 10
