# SPDX-License-Identifier: BSD-3-Clause
"""A device between its driver and a back-end that has troubles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import pytest
from rslctl.errors import RslError
from rslctl.region import Region
from rslctl.virtio.backend import BackendError, Event, What, Wired
from rslctl.virtio.device import REST, Device, State
from rslctl.virtio.engine import Barrier, Broken, Identity, Kick, Put, Start, Stop
from rslctl.virtio.engines import engine
from rslctl.virtio.header import Header
from rslctl.virtio.registers import Register, Status
from rslctl.virtio.report import Report
from rslctl.virtio.wiring import Wiring

from tests.unit.virtio import remote_side
from tests.unit.virtio.firmware import Modern
from tests.unit.virtio.links import played
from tests.unit.virtio.split_ring import Driver


class Troubled:
    """Plays a back-end as VhostUser, and the process behind it: it serves one of two queues.

    It refuses, fails and changes as it is told. It leaves out the queues' contents.
    """

    def __init__(self) -> None:
        self.device_id = 4
        self.queues: tuple[int, ...] = (remote_side.SIZE,)
        self.waits, self.away = True, False
        self.data = b"\x01"
        #: What the next start, the next stop and the next event come to.
        self.refuses = self.stuck = ""
        self.event: Event | None = None
        self.served: list[Wired] = []
        self.starts = 0
        self.closed = False
        self.fd = os.eventfd(0)

    def offered(self) -> int:
        return 1 << 32

    def config(self) -> bytes:
        return self.data

    def start(self, features: int, queues: Sequence[Wired]) -> None:
        assert not self.served
        if self.refuses:
            raise BackendError(self.refuses)
        self.starts += 1
        self.served = list(queues)

    def stop(self) -> None:
        for each in self.served:  # they stay open until it returns
            os.fstat(each.kick)
            os.fstat(each.call)
        self.served = []
        if self.stuck:
            raise BackendError(self.stuck)

    def watch(self) -> dict[int, int]:
        return {self.fd: 1}

    def ready(self, fd: int, events: int) -> Event | None:
        assert fd == self.fd
        return self.event

    def close(self) -> None:
        os.close(self.fd)
        self.closed = True


class Bench:
    """A device in the memory of a link, looked at where its driver waits."""

    def __init__(self, users: int = 1) -> None:
        """With so many *users* of vector 1; one that several have is passed on."""
        self._link = played(vectors=4)
        link, other = self._link.__enter__()
        self.backend = Troubled()
        self.lines: list[str] = []
        base = link.manifest["memory"]["remote_base"]
        size = len(link.memory)
        self.identity = Identity(
            device_id=4,
            features=self.backend.offered(),
            config=self.backend.data,
            queues=(remote_side.SIZE, remote_side.SIZE),
            region=Region(base + 0x10000, 0x6000),
            memory=Region(base, size),
            vectors=(1, 2),
        )
        self.wiring = Wiring(link, {1: users, 2: 1})
        self.device = Device(
            "rng",
            Header(link.memory, 0, self.wiring),
            engine(2, self.identity),
            self.backend,
            (1, 2),
            self.wiring,
            Report(link.memory, 0, base),
            self.lines.append,
        )
        self.device.publish()
        self.other = other
        self.header = remote_side.Header(other, 0)
        self.header.look = self.look  # type: ignore[method-assign]
        self.driver = Modern(self.header)  # type: ignore[arg-type]
        memory = remote_side.Remote(other, 2).memory
        self.queues = [
            Driver(memory, remote_side.SIZE, base + 0x12000 + 0x2000 * index, index).queue
            for index in range(2)
        ]

    def look(self) -> None:
        self.device.perform(self.device.look())

    def start(self) -> None:
        self.driver.probe(self.queues)

    def happens(self, what: What, reason: str = "") -> None:
        self.backend.event = Event(what, reason)
        self.device.ready(self.backend.fd, 1)

    @property
    def status(self) -> int:
        return self.header.read(Register.STATUS)

    def close(self) -> None:
        self.device.close()
        self._link.__exit__(None, None, None)


def state(bench: Bench) -> State:
    return bench.device.state


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_device_goes_from_offered_to_running_and_back(bench: Bench) -> None:
    assert state(bench) is State.OFFERED
    bench.driver.negotiate()
    assert state(bench) is State.NEGOTIATING
    bench.start()
    assert state(bench) is State.RUNNING
    assert bench.lines == ["the driver runs it: queues 0, features 0x100000000"]
    bench.driver.reset()
    assert state(bench) is State.OFFERED
    assert (bench.backend.served, bench.lines[1:]) == ([], ["stopped"])


def test_the_back_end_gets_the_queues_that_it_knows_already_signalled(bench: Bench) -> None:
    bench.start()
    (wired,) = bench.backend.served
    assert wired.queue == bench.queues[0]
    # The driver may have notified before there was anybody to hear it.
    assert os.eventfd_read(wired.kick) == 1
    bench.other.kick(1)
    assert os.eventfd_read(wired.kick) == 1
    bench.other.wait(0)
    os.eventfd_write(wired.call, 1)
    assert bench.other.wait(30) == [1]
    assert not bench.device.served_here


def test_a_device_takes_nothing_with_each_restart(bench: Bench) -> None:
    bench.start()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        bench.start()
    assert len(os.listdir("/proc/self/fd")) == before
    bench.driver.reset()
    assert len(os.listdir("/proc/self/fd")) == before - 2
    assert bench.backend.starts == 21


def test_a_back_end_that_refuses_to_start_breaks_the_device_until_a_reset(bench: Bench) -> None:
    bench.backend.refuses = "cannot connect to the back-end"
    bench.start()
    assert state(bench) is State.BROKEN
    assert bench.status & Status.NEEDS_RESET
    assert "needs a reset: cannot connect to the back-end" in bench.lines
    bench.backend.refuses = ""
    bench.start()
    assert state(bench) is State.RUNNING


def test_a_back_end_that_fails_is_stopped_and_the_remote_is_told(bench: Bench) -> None:
    bench.start()
    bench.other.wait(0)
    bench.happens(What.FAILED, "it has hung up")
    assert state(bench) is State.BROKEN
    assert bench.status & Status.NEEDS_RESET
    assert bench.other.wait(30) == [0]
    assert bench.lines[1:] == ["stopped", "needs a reset: it has hung up"]
    bench.happens(What.FAILED, "it has hung up")
    bench.start()
    assert state(bench) is State.RUNNING


def test_a_back_end_that_goes_away_and_comes_back_is_no_matter_of_the_driver(
    bench: Bench,
) -> None:
    bench.start()
    bench.other.wait(0)
    bench.happens(What.AWAY, "the back-end has hung up")
    assert state(bench) is State.AWAY
    bench.happens(What.AGAIN)
    assert state(bench) is State.RUNNING
    assert bench.lines[1:] == ["the back-end has hung up", "the back-end is back"]
    assert bench.other.wait(0) == []
    assert bench.backend.starts == 1


def test_a_back_end_that_went_away_has_no_eventfd_of_the_one_that_comes() -> None:
    with contextlib.closing(Bench(users=2)) as bench:
        bench.start()
        (wired,) = bench.backend.served
        kept = os.dup(wired.kick)
        os.set_blocking(kept, True)  # of all who have the eventfd: the open file has the flag
        os.eventfd_write(kept, 2**64 - 3)
        before = len(os.listdir("/proc/self/fd"))
        bench.happens(What.AWAY)
        assert len(os.listdir("/proc/self/fd")) == before
        assert not os.get_blocking(wired.kick)
        assert os.eventfd_read(wired.kick) == 1
        bench.other.kick(1)
        bench.wiring.pass_on(1)
        assert os.eventfd_read(wired.kick) == 1
        os.close(kept)


def test_a_report_tells_of_a_back_end_that_is_away_at_the_start(bench: Bench) -> None:
    bench.backend.away = True
    bench.start()
    assert state(bench) is State.AWAY
    assert bench.other.memory[0x180:0x188] == b"rslq\2\0\0\0"
    bench.happens(What.AGAIN)
    assert state(bench) is State.RUNNING
    assert bench.other.memory[0x184:0x188] == b"\1\0\0\0"


def test_a_back_end_whose_queues_get_no_other_eventfds_needs_a_reset(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> int:
        raise RslError("cannot make an eventfd: Too many open files")

    bench.start()
    monkeypatch.setattr(bench.wiring, "notify", full)
    bench.happens(What.AWAY)
    assert state(bench) is State.BROKEN
    assert "needs a reset: cannot make an eventfd: Too many open files" in bench.lines
    assert bench.backend.served == []
    monkeypatch.undo()
    bench.start()
    assert state(bench) is State.RUNNING


def test_only_what_the_back_end_has_to_do_may_take_long(bench: Bench) -> None:
    device = bench.device
    assert device.waits() and device.waits([Kick(), Stop()]) and device.waits([Start(0, ())])
    assert not device.waits([Put(0, 0), Barrier(), Kick(), Broken("")])
    bench.backend.waits = False
    assert not device.waits() and not device.waits([Stop()])


def test_a_change_of_the_configuration_is_the_drivers_to_see(bench: Bench) -> None:
    bench.start()
    bench.other.wait(0)
    bench.backend.data = b"\x02"
    bench.happens(What.CONFIG)
    assert bench.header.read(Register.CONFIG) == 2
    assert bench.header.read(Register.INTERRUPT_STATUS) & 2
    assert bench.other.wait(30) == [0]


def test_a_back_end_that_does_not_stop_is_told_and_loses_its_eventfds(bench: Bench) -> None:
    bench.start()
    before = len(os.listdir("/proc/self/fd"))
    bench.backend.stuck = "it does not answer"
    bench.driver.reset()
    assert bench.lines[1:] == ["it does not answer", "stopped"]
    assert len(os.listdir("/proc/self/fd")) == before - 2
    bench.backend.stuck = ""
    bench.start()


def test_a_device_that_is_withdrawn_is_not_there_and_its_driver_sees_it(bench: Bench) -> None:
    bench.start()
    bench.other.wait(0)
    bench.device.withdraw()
    assert bench.header.read(Register.MAGIC) == 0
    assert bench.status & Status.NEEDS_RESET
    assert bench.other.wait(30) == [0]
    assert bench.backend.served == []
    assert not any("needs a reset" in each for each in bench.lines)


def test_an_engine_that_is_unsure_is_asked_again_when_the_header_has_rested(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    class Unsure:
        """Plays Version1 while it cannot tell what the driver did: it wants to be asked again."""

        unsure = True

        def look(self, header: bytes, *, rested: bool = False) -> list[object]:
            asked.append(rested)
            self.unsure = not rested
            return []

    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(bench.device, "_engine", Unsure())
    bench.look()
    assert bench.device.rest == pytest.approx(REST)
    bench.look()
    assert asked == [False]
    bench.header.write(Register.QUEUE_SEL, 7)
    bench.look()
    assert asked == [False, False]
    now[0] += 1.5 * REST
    assert bench.device.rest == 0
    bench.look()
    assert asked == [False, False, True]
    assert bench.device.rest is None
