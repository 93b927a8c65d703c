# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user back-end that comes, serves, goes, and comes back."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import VERSION_1, BackendError, Event, What
from rslctl.virtio.vhost_user import VhostUser
from rslctl.virtio.vhost_user_messages import LostError

from tests.unit.virtio import played_backend
from tests.unit.virtio.back_ends import (
    PLAYED,
    Asker,
    Played,
    listening,
    next_event,
    played,
    talking,
)
from tests.unit.virtio.remote_side import until
from tests.unit.virtio.split_ring import LIMIT, turn
from tests.unit.virtio.storage import SECTORS, Driven, Reader, Storage, driven

BLK = 2
MRG_RXBUF = 1 << 15


@pytest.fixture
def device() -> Iterator[Driven]:
    """A driver of one queue of 128."""
    with driven(128) as made:
        yield made


def blk(storage: Storage, device: Driven) -> VhostUser:
    return VhostUser(BLK, str(storage.socket), device.window, (128,))


# With the real qemu-storage-daemon.


def test_a_disk_is_read_through_qemu_storage_daemon(tmp_path: Path, device: Driven) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        assert struct.unpack_from("<Q", backend.config()) == (SECTORS,)
        assert backend.offered() & VERSION_1
        backend.start(backend.offered() & VERSION_1, device.wired)
        reader = Reader(device)
        for sector in range(30):
            reader.ask(sector * 67)
        assert reader.finish(backend) == []


def test_a_driver_without_version_1_is_served_too(tmp_path: Path, device: Driven) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        backend.start(0, device.wired)
        reader = Reader(device)
        reader.ask(1234)
        assert reader.finish(backend) == []


def test_features_that_want_what_is_not_there_are_not_offered(
    tmp_path: Path, device: Driven
) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        config_wce, multi_queue, protocol = 1 << 11, 1 << 12, 1 << 30
        assert not backend.offered() & (config_wce | multi_queue | protocol)


def test_a_driver_begins_anew_again_and_again_with_requests_in_flight(
    tmp_path: Path, device: Driven
) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        for _ in range(10):
            backend.start(VERSION_1, device.wired)
            reader = Reader(device)
            for sector in range(20):
                reader.ask(sector)
            backend.stop()
            device.restart()
        backend.start(VERSION_1, device.wired)
        reader = Reader(device)
        reader.ask(7)
        reader.finish(backend)


def test_a_back_end_that_was_stopped_while_it_was_at_requests_has_left_the_memory(
    tmp_path: Path, device: Driven
) -> None:
    with (
        Storage(tmp_path, slow=True) as storage,
        contextlib.closing(blk(storage, device)) as backend,
    ):
        backend.start(VERSION_1, device.wired)
        reader = Reader(device)
        for sector in range(30):
            reader.ask(sector)
        while not reader.take():
            assert select.select([device.wired[0].call], [], [], LIMIT)[0]
            device.kicks(0)
        assert reader.waiting > 20
        assert storage.has_memory
        backend.stop()
        assert not storage.has_memory
        device.restart()
        backend.start(VERSION_1, device.wired)  # it is back when it has hung up
        reader = Reader(device)
        reader.ask(3)
        assert [each.what for each in reader.finish(backend)] in ([What.AGAIN], [])


def test_a_disk_that_dies_wants_a_reset_and_is_served_anew_after_it(
    tmp_path: Path, device: Driven
) -> None:
    # Debian 12's keeps nothing in flight: its protocol features have no INFLIGHT_SHMFD.
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        backend.start(VERSION_1, device.wired)
        storage.kill()
        event = next_event(backend)
        assert event == Event(What.FAILED, f"the back-end at '{storage.socket}' has hung up")
        backend.stop()
        device.restart()
        backend.start(VERSION_1, device.wired)  # it is not there yet
        reader = Reader(device)
        reader.ask(5)
        storage.start()
        assert [each.what for each in reader.finish(backend)] in ([What.AGAIN], [])


def test_a_disk_that_dies_before_a_driver_starts_is_waited_for(
    tmp_path: Path, device: Driven
) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        storage.kill()
        assert next_event(backend).what is What.AWAY
        storage.start()
        assert next_event(backend).what is What.AGAIN
        backend.start(VERSION_1, device.wired)
        reader = Reader(device)
        reader.ask(9)
        assert reader.finish(backend) == []


def test_a_paused_back_end_that_does_not_stop_is_told_of(
    tmp_path: Path, device: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Storage(tmp_path) as storage, contextlib.closing(blk(storage, device)) as backend:
        backend.start(VERSION_1, device.wired)
        storage.pause()
        with monkeypatch.context() as impatient:
            impatient.setattr(messages, "LIMIT", 0.2)
            reason = r"does not answer in 0\.2 s, and does not hang up"
            with pytest.raises(BackendError, match=reason):
                backend.stop()
            backend.stop()  # all was given back
        device.restart()
        with pytest.raises(BackendError, match="has not left the queues that it had before"):
            backend.start(VERSION_1, device.wired)
        backend.stop()
        storage.proceed()
        assert next_event(backend).what is What.AGAIN


# With the played one.


def test_killed_at_random_a_back_end_goes_on_with_what_was_in_flight(
    tmp_path: Path, device: Driven
) -> None:
    path = tmp_path / "socket"
    served = Played(path)
    backend = VhostUser(PLAYED, str(path), device.window, (128,))
    chance = random.Random(20)  # noqa: S311
    told: list[What] = []
    try:
        backend.start(VERSION_1, device.wired)
        asker, number, kills = Asker(device), 0, 5
        next_kill = chance.randrange(50, 400)
        deadline = time.monotonic() + 2 * LIMIT
        while asker.answers < 2500 or asker.waiting or kills:
            assert time.monotonic() < deadline, f"{asker.waiting} are not answered"
            while number < 2500 and asker.ask(number):
                number += 1
            select.select([device.wired[0].call, *backend.watch()], [], [], 0.2)
            device.kicks(0)
            asker.take()
            event = turn(backend)[1]
            if event is not None:
                told.append(event.what)
                if event.what is What.AWAY:
                    device.notify(0)  # as Device, which has other eventfds then
            if kills and asker.answers > next_kill:
                served.kill()
                served.start()
                kills -= 1
                next_kill = asker.answers + chance.randrange(50, 400)
        assert asker.answers == 2500
        while len(told) < 10:
            told.append(next_event(backend).what)
        assert told == [What.AWAY, What.AGAIN] * 5
        backend.stop()
    finally:
        backend.close()
        served.kill()


def test_a_back_end_without_any_extension_is_served(tmp_path: Path, device: Driven) -> None:
    with (
        listening(tmp_path / "s", features=VERSION_1, protocol=0),
        contextlib.closing(VhostUser(4, str(tmp_path / "s"), device.window, (128,))) as backend,
    ):
        assert (backend.offered(), backend.config()) == (VERSION_1, b"")
        backend.start(VERSION_1, device.wired)
        backend.stop()


def test_a_changed_configuration_is_told_once_it_is_another(tmp_path: Path, device: Driven) -> None:
    with talking(tmp_path / "s", device) as (backend, session, requests):
        assert backend.config() == played_backend.CONFIG
        session.config = b"another!"
        need_reply = 8
        requests.send(messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 1 | need_reply, 0))
        assert next_event(backend) == Event(What.CONFIG)
        assert backend.config() == b"another!"
        head = messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 5, 8)
        assert requests.recv(100) == head + bytes(8)


def test_requests_without_end_are_answered_a_few_times_a_second(
    tmp_path: Path, device: Driven
) -> None:
    with talking(tmp_path / "s", device) as (backend, _, requests):
        request = messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 1, 0)
        requests.setblocking(False)
        end, turns = time.monotonic() + 1, 0
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                while True:
                    requests.send(100 * request)
            turns += turn(backend, 0.05)[0]
        assert 2 <= turns <= 2 * 1 / 0.1 + 2


def test_a_back_end_that_cannot_go_on_fails_its_device(tmp_path: Path, device: Driven) -> None:
    sessions: list[played_backend.Session] = []
    with (
        listening(tmp_path / "s", sessions=sessions),
        contextlib.closing(played(tmp_path / "s", device)) as backend,
    ):
        backend.start(VERSION_1, device.wired)
        os.eventfd_write(sessions[0].queues[0].error, 1)
        assert next_event(backend) == Event(What.FAILED, "the back-end cannot go on with queue 0")
        backend.stop()
        backend.start(VERSION_1, device.wired)
        assert turn(backend) == (False, None)


def test_one_that_comes_back_with_less_fails_its_device(tmp_path: Path, device: Driven) -> None:
    path = tmp_path / "s"
    with listening(path, features=played_backend.FEATURES | 1):
        backend = played(path, device)
        backend.start(VERSION_1 | 1, device.wired)
    with contextlib.closing(backend):
        assert next_event(backend).what is What.AWAY
        with listening(path):
            event = next_event(backend)
            backend.close()
        assert event.what is What.FAILED
        assert event.reason == (
            f"the back-end at '{path}' does not offer features 0x1 any more, which the driver took"
        )


def test_one_that_keeps_nothing_in_flight_any_more_fails_its_device(
    tmp_path: Path, device: Driven
) -> None:
    path = tmp_path / "s"
    with listening(path):
        backend = played(path, device)
        backend.start(VERSION_1, device.wired)
    with contextlib.closing(backend):
        assert next_event(backend).what is What.AWAY
        with listening(path, protocol=messages.CONFIG):
            event = next_event(backend)
            backend.close()
        assert "cannot go on with what is in flight any more" in event.reason


def test_one_that_is_not_there_is_waited_for(tmp_path: Path, device: Driven) -> None:
    path = tmp_path / "s"
    with contextlib.ExitStack() as stack:
        timer = threading.Timer(0.3, lambda: stack.enter_context(listening(path)))
        timer.start()
        backend = played(path, device)
        timer.join()
        backend.close()


def test_one_that_never_comes_is_an_error_that_says_what_to_do(
    tmp_path: Path, device: Driven
) -> None:
    with pytest.raises(RslError) as caught:
        played(tmp_path / "s", device, patience=0.01)
    assert str(caught.value) == (
        f"cannot connect to the back-end at '{tmp_path}/s': No such file or directory"
    )
    assert caught.value.hint == "start the back-end first"


def test_a_process_without_room_for_descriptors_is_told_and_can_try_again(
    tmp_path: Path, device: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    path = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr(select, "epoll", full)
        with pytest.raises(RslError, match=f"the back-end at '{path}': Too many open files"):
            played(path, device)
    before = len(os.listdir("/proc/self/fd"))
    for name in ("socket", "socketpair"):
        with listening(path), monkeypatch.context() as patch:
            patch.setattr(socket, name, full)
            # Later on, one that is lost so is tried to be reached again.
            with pytest.raises(LostError, match="Too many open files"):
                played(path, device, patience=0.01)
            patch.undo()
            with contextlib.closing(played(path, device)) as backend:
                backend.start(VERSION_1, device.wired)
    # The listener's sessions end in their own time.
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors leak")


def test_a_path_that_no_socket_can_have_is_an_error(device: Driven) -> None:
    with pytest.raises(BackendError, match="has 200 bytes, the path of a socket has 107 at most"):
        played(Path("/" + "x" * 199), device)


def test_too_few_queues_are_an_error(tmp_path: Path, device: Driven) -> None:
    with (
        listening(tmp_path / "s"),
        pytest.raises(BackendError, match="serves 2 queues, the device has 3"),
    ):
        VhostUser(
            PLAYED,
            str(tmp_path / "s"),
            device.window,
            (128, 128, 128),
        )


def test_a_back_end_of_another_device_is_an_error(tmp_path: Path, device: Driven) -> None:
    with (
        listening(tmp_path / "s"),
        pytest.raises(BackendError, match="tells no configuration of 60 bytes") as caught,
    ):
        VhostUser(BLK, str(tmp_path / "s"), device.window, (128,))
    assert caught.value.hint == "is it a back-end of this device?"


def test_of_an_unknown_device_the_configuration_is_as_long_as_the_back_end_has_it(
    tmp_path: Path, device: Driven
) -> None:
    with (
        listening(tmp_path / "s"),
        contextlib.closing(VhostUser(63, str(tmp_path / "s"), device.window, (128,))) as backend,
    ):
        assert backend.config() == played_backend.CONFIG


def test_net_has_its_address_from_here_and_no_control_queue(tmp_path: Path, device: Driven) -> None:
    control, address = 1 << 17, 1 << 5
    mac = bytes.fromhex("020000000001")
    features = played_backend.FEATURES | control | MRG_RXBUF
    with (
        listening(tmp_path / "s", features=features),
        contextlib.closing(
            VhostUser(
                1,
                str(tmp_path / "s"),
                device.window,
                (128,),
                config=mac,
            )
        ) as backend,
    ):
        assert backend.offered() == VERSION_1 | MRG_RXBUF | address
        assert backend.config() == mac
        backend.start(MRG_RXBUF | address, device.wired)
        backend.stop()
        with pytest.raises(BackendError, match="a header of 10 bytes") as caught:
            backend.start(address, device.wired)
        assert caught.value.hint == "serve it with a tap, or let the driver take MRG_RXBUF"
