# SPDX-License-Identifier: BSD-3-Clause
"""The service of a link's devices: the real one, and a remote with drivers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import random
import select
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.linux import signals
from rslctl.profile import virtio
from rslctl.virtio import options, service
from rslctl.virtio.backend import Backend
from rslctl.virtio.registers import Register, Status

from tests.unit.linux.ending import SignalAt, restored
from tests.unit.virtio.back_ends import PLAYED, listening
from tests.unit.virtio.elsewhere import DEVICE, Elsewhere, Leaving, Slow
from tests.unit.virtio.firmware import Modern
from tests.unit.virtio.links import Module, played
from tests.unit.virtio.remote_side import LIMIT, Log, Remote, serving, until
from tests.unit.virtio.split_ring import Driver

WAYS = [(version, vectors) for version in (1, 2) for vectors in (1, 4)]


@pytest.mark.parametrize(("version", "vectors"), WAYS)
def test_a_remote_gets_random_bytes_and_speaks_on_its_console(
    version: int, vectors: int, tmp_path: Path
) -> None:
    path = tmp_path / "console"
    with (
        played("rng", f"console,socket={path}", version=version, vectors=vectors) as (link, other),
        serving(link),
    ):
        remote = Remote(other, version)
        remote.await_devices()
        (requests,) = remote.start(0)
        assert len({remote.ask(requests) for _ in range(200)}) == 200
        receive, transmit = remote.start(1, queues=2)
        with socket.socket(socket.AF_UNIX) as user:
            user.settimeout(LIMIT)
            user.connect(str(path))
            room = (receive.queue.used & ~0xFFF) + 0x800
            receive.add([], [(room, 100)])
            remote.notify(receive)
            user.sendall(b"hello")
            _, size = remote.take(receive)
            assert remote.memory.read(room, size) == b"hello"
            at = (transmit.queue.used & ~0xFFF) + 0x800
            remote.memory.write(at, b"world")
            transmit.add([(at, 5)], [])
            remote.notify(transmit)
            remote.take(transmit)
            assert user.recv(100) == b"world"
        assert len(remote.ask(requests)) == 64


@pytest.mark.parametrize(("version", "vectors"), WAYS)
def test_a_remote_may_begin_anew_at_any_time(version: int, vectors: int) -> None:
    with played("rng", "rng", version=version, vectors=vectors) as (link, other), serving(link):
        remote = Remote(other, version)
        remote.await_devices()
        (kept,) = remote.start(1)
        for _ in range(20):
            (requests,) = remote.start(0)
            assert any(remote.ask(requests))
            assert any(remote.ask(kept))


@pytest.mark.parametrize(("version", "vectors"), WAYS)
def test_a_remote_sees_that_its_daemon_ends_and_that_there_is_another(
    version: int, vectors: int
) -> None:
    with played("rng", version=version, vectors=vectors) as (link, other):
        remote = Remote(other, version)
        header = remote.header(0)
        for _ in range(5):
            with serving(link):
                remote.await_devices()
                (requests,) = remote.start(0)
                assert any(remote.ask(requests))
                until(lambda: header.read(Register.STATUS) & Status.DRIVER_OK, "not running")
                other.wait(0)
            assert not remote.there()
            assert header.read(Register.STATUS) & Status.NEEDS_RESET
            assert other.wait(LIMIT) == [0]
            with serving(link):
                assert 0 in other.wait(LIMIT)
                until(remote.there, "no device")
                assert header.read(Register.STATUS) == 0
                (requests,) = remote.start(0)
                assert any(remote.ask(requests))


def test_a_daemon_that_was_killed_leaves_nothing_that_the_next_one_believes() -> None:
    with played("rng", version=2) as (link, other):
        memory, room = other.memory, other.manifest["remote_dt"]["offset"]
        memory[:room] = b"\xa5" * room
        memory[room : room + 8] = b"whatever"
        for place in range(0, 0x10000, 0x200):
            memory[place : place + 4] = b"virt"
        with serving(link):
            remote = Remote(other, 2)
            until(lambda: other.wait(0.1), "nothing was published")
            assert remote.there(0)
            assert not any(remote.there(number) for number in range(1, 128))
            assert any(remote.ask(remote.start(0)[0]))
        # All that is not a header is the remote's.
        assert memory[room - 1 : room + 8] == b"\xa5whatever"


def test_a_device_tree_comes_before_the_devices_where_the_profile_says_so() -> None:
    with played("rng", "rng", version=1, device_tree=True) as (link, other), serving(link):
        until(lambda: other.wait(0.1), "nothing was published")
        assert other.memory[:4] == b"\xd0\x0d\xfe\xed"
        assert b"virtio@70010000\0" in other.memory[:0x10000]
        for header in (0x10000, 0x16000):
            assert other.memory[header : header + 4] == b"virt"


@pytest.mark.parametrize(("version", "vectors"), WAYS)
def test_a_mad_driver_floods_neither_the_log_nor_the_device_beside_it(
    version: int, vectors: int
) -> None:
    log = Log()
    dice = random.Random(version * 100 + vectors)  # noqa: S311 - to be repeated
    with (
        played("rng", "rng", version=version, vectors=vectors) as (link, other),
        serving(link, show=log),
    ):
        remote = Remote(other, version)
        remote.await_devices()
        (requests,) = remote.start(1)
        header = remote.header(0)
        for turn in range(1000):
            offset = dice.choice([*Register])
            value = dice.choice([0, 1, 4, 15, 0x70012000, 0x70012, 64, 2**32 - 1])
            header.write(min(offset, 0x1FC), value)
            if version == 2:
                header.write(Register.TRANSACTION, offset | 4 << 16)
            other.kick(dice.randrange(vectors))
            if turn % 10 == 0:
                assert any(remote.ask(requests))
        if version == 1:  # its own registers are its own to spoil
            header.write(Register.MAGIC, 0)
        assert any(remote.ask(requests))
        assert sum(each.startswith("rng0") for each in log.lines) < 200


def test_what_breaks_a_queue_is_told_and_the_driver_can_begin_anew() -> None:
    log = Log()
    with played("rng", version=2) as (link, other), serving(link, show=log):
        remote = Remote(other, 2)
        remote.await_devices()
        (requests,) = remote.start(0)
        requests.describe(5, 0x1000, 64, 2, 0)
        requests.offer(5)
        remote.notify(requests)
        header = remote.header(0)
        until(lambda: header.read(Register.STATUS) & Status.NEEDS_RESET, "it is not broken")
        until(lambda: log.has("rng: needs a reset: queue 0"), "nothing was said")
        assert log.has("outside of the shared memory")
        (requests,) = remote.start(0)
        assert any(remote.ask(requests))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Elsewhere]:
    """The back-ends of a service's devices, in their order: all but rng's are elsewhere."""
    made: list[Elsewhere] = []

    def backend(device: virtio.Device, means: options.Means) -> Backend:
        if device.kind == "rng":
            return options.backend(device, means)
        made.append(Elsewhere())
        return made[-1]

    monkeypatch.setattr(service, "backend", backend)
    return made


def woken(thread: threading.Thread) -> int:
    """How often a thread has gone to sleep, and so has been woken."""
    text = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(text.split("nonvoluntary")[0].split("voluntary_ctxt_switches:")[1])


def asleep(thread: threading.Thread) -> None:
    """Wait until a thread has nothing more to do."""
    place = Path(f"/proc/self/task/{thread.native_id}/wchan")  # in fs/eventpoll.c
    until(lambda: place.read_text() in ("ep_poll", "do_epoll_wait"), "it does not sleep")


@pytest.mark.parametrize("rng", [False, True])
def test_where_queues_have_vectors_nothing_wakes_the_process(
    rng: bool, elsewhere: list[Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    # If it stopped listening, it would do so soon, and look at the headers often.
    monkeypatch.setattr(service, "CALM", 0.1)
    monkeypatch.setattr(service, "LOOK", 0.01)
    words = (f"{DEVICE}/0", f"{DEVICE}/1", "vsock,cid=42", "rng")
    with Module() as module, module.link() as link:
        monkeypatch.setattr(fcntl, "ioctl", module.ioctl)
        link.manifest["virtio"] = {"version": 2}
        far = module.remote(link)
        with serving(link, *words) as thread:
            remote = Remote(far, 2)  # type: ignore[arg-type]
            remote.await_devices()
            queues = [remote.start(number)[0] for number in (0, 1)]
            requests = remote.start(3) if rng else []
            assert all(any(remote.ask(each)) for each in requests)
            time.sleep(2 * service.CALM)
            before = woken(thread)
            far.kick(0)
            until(lambda: woken(thread) > before, "it does not look at the headers")
            asleep(thread)
            before = woken(thread)
            for _ in range(2000):
                for queue, backend in zip(queues, elsewhere, strict=False):
                    answered = backend.answered
                    remote.notify(queue)
                    until(lambda: backend.answered > answered, "no answer")  # noqa: B023
            assert woken(thread) == before
            assert all(any(remote.ask(each)) for each in requests)


@pytest.mark.parametrize("version", [1, 2])
def test_where_queues_have_the_control_vector_the_process_soon_stops_listening(
    version: int, elsewhere: list[Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CALM", 0.2)
    monkeypatch.setattr(virtio, "vectors", lambda devices, _: [(0,)] * len(devices))
    with Module() as module, module.link() as link:
        monkeypatch.setattr(fcntl, "ioctl", module.ioctl)
        link.manifest["virtio"] = {"version": version}
        far = module.remote(link)
        with serving(link, DEVICE) as thread:
            remote = Remote(far, version)  # type: ignore[arg-type]
            remote.await_devices()
            (queue,) = remote.start(0)
            (backend,) = elsewhere

            def answer() -> None:
                before = backend.answered
                remote.notify(queue)
                until(lambda: backend.answered > before, "no answer")

            # The first look that finds nothing new ends it.
            end = time.monotonic() + LIMIT
            while time.monotonic() < end:
                asleep(thread)
                before, begun = woken(thread), time.monotonic()
                for _ in range(50):
                    answer()
                if woken(thread) - before <= 1 + (time.monotonic() - begun) / service.LOOK:
                    break
            else:
                raise AssertionError("the process is woken by each notification")
            # It sees a driver that begins anew, and listens.
            (queue,) = remote.start(0)
            answer()


def test_a_link_that_goes_away_ends_the_service(
    elsewhere: list[Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Module() as module, module.link() as link:
        monkeypatch.setattr(fcntl, "ioctl", module.ioctl)
        # As poll() of the memory's file does once the device is gone, and that of a memfd cannot.
        hang_up, ours = os.pipe()
        os.dup2(hang_up, link.fds["shmem"])
        with (
            pytest.raises(client.GoneError, match="link 'rpu0' went away"),
            serving(link, DEVICE) as thread,
        ):
            os.close(ours)
            thread.join(LIMIT)
        os.close(hang_up)


@pytest.mark.parametrize(("version", "vectors"), WAYS)
def test_a_back_end_that_does_not_answer_delays_no_other_device(
    version: int, vectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(
        service,
        "backend",
        lambda device, means: slow if device.options else options.backend(device, means),
    )
    with (
        played(DEVICE, "rng", version=version, vectors=vectors) as (link, other),
        serving(link),
    ):
        remote = Remote(other, version)
        remote.await_devices()
        driver = threading.Thread(target=remote.start, args=[0])
        driver.start()
        assert slow.begun.wait(LIMIT)
        for _ in range(5):
            (requests,) = remote.start(1)
            assert any(remote.ask(requests))
        assert slow.answered == 0
        slow.go.set()
        driver.join(LIMIT)
        until(lambda: slow.answered, "it is not served")
        assert any(remote.ask(requests))


def test_a_service_ends_once_a_back_end_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow()
    monkeypatch.setattr(service, "backend", lambda *_: slow)
    with played(DEVICE, version=1) as (link, other):
        with serving(link):
            remote = Remote(other, 1)
            remote.await_devices()
            remote.start(0)
            assert slow.begun.wait(LIMIT)
            threading.Timer(0.2, slow.go.set).start()
        assert not remote.there()


def test_at_the_end_nobody_waits_for_a_back_end_but_its_own_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two that leave only when both are told to, and one that is withdrawn before."""
    both = threading.Barrier(2)
    told: list[bool] = []

    def leave() -> None:
        both.wait(LIMIT)
        told.append(other.memory[0x400:0x404] == bytes(4))

    monkeypatch.setattr(
        service,
        "backend",
        lambda device, means: Leaving(leave) if device.options else options.backend(device, means),
    )
    words = (DEVICE, DEVICE.replace("elsewhere", "there"), "rng")
    with played(*words, version=2) as (link, other):
        with serving(link):
            remote = Remote(other, 2)
            remote.await_devices()
            for number in range(3):
                remote.start(number)
        assert told == [True, True]
        assert not remote.there()


def test_a_remote_that_sets_up_only_what_nobody_serves_hurts_no_other_device(
    tmp_path: Path,
) -> None:
    """Of vsock, a back-end serves two of three queues; this one keeps what is in flight."""
    log = Log()
    with (
        listening(tmp_path / "s"),
        played(f"vsock,socket={tmp_path}/s", "rng", version=2) as (link, other),
        serving(link, show=log),
    ):
        remote = Remote(other, 2)
        remote.await_devices()
        third = Driver(remote.memory, 64, remote.region(0) + 0x2000, 2)
        Modern(remote.header(0)).probe([third.queue])  # type: ignore[arg-type]
        until(lambda: log.has("vsock: the driver runs it: queues none"), "it is not started")
        (requests,) = remote.start(1)
        assert any(remote.ask(requests))


def test_the_report_says_away_from_the_start_where_the_back_end_is(tmp_path: Path) -> None:
    log = Log()
    with contextlib.ExitStack() as back_end:
        back_end.enter_context(listening(tmp_path / "s"))
        with (
            played(f"device,id={PLAYED},queues=1,socket={tmp_path}/s", version=2) as (link, other),
            serving(link, show=log),
        ):
            remote = Remote(other, 2)
            remote.await_devices()
            back_end.close()
            until(lambda: log.has("hung up"), "its end is not seen")
            remote.start(0)
            until(lambda: log.has("runs it"), "it is not started")
            assert other.memory[0x180:0x188] == b"rslq\2\0\0\0"
            with listening(tmp_path / "s"):
                until(lambda: log.has("is back"), "it is not reached again")
                assert other.memory[0x184:0x188] == b"\1\0\0\0"


def test_a_process_without_room_for_descriptors_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "")

    with played("rng", version=2) as (link, _):
        monkeypatch.setattr(select, "epoll", full)
        with (
            pytest.raises(RslError, match="devices of link 'rpu0': Too many open files"),
            serving(link),
        ):
            pass


def test_a_back_end_that_is_not_there_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    with played(f"console,socket={tmp_path}/none/console", version=2) as (link, other):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(RslError, match="none/console"), serving(link):
            pass
        assert len(os.listdir("/proc/self/fd")) == before
        assert not any(other.memory[:0x10000])


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_at_any_line_while_devices_are_made_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    words = [f"console,socket={tmp_path}/console", f"blk,socket={tmp_path}/none"]
    seen: list[str] = []
    gc.collect()  # descriptors of earlier tests
    while "heard" not in seen:
        at = SignalAt(Path(service.__file__).parents[1], len(seen), number)
        with restored(), played(*words, version=2) as (link, _):
            before = len(os.listdir("/proc/self/fd"))

            def make() -> service.Service:
                with at:  # noqa: B023
                    return service.Service(link, options.plan(link.manifest, ()), {}, print)

            with pytest.raises(SystemExit, match=r"^0$"):
                service.serve(make)
            assert len(os.listdir("/proc/self/fd")) == before, at.function
        seen.append(at.function)
        assert not [*tmp_path.iterdir()], at.function
    assert "_unlink" not in seen
    assert {"_is_stale", "_identity", "__init__", "_reach"} <= {*seen}
