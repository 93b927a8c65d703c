# SPDX-License-Identifier: BSD-3-Clause
"""What a driver has started, for a vhost-user back-end, and back-ends that are mad or hostile.

These are an error, and harm nobody else. How a session goes is tested in test_vhost_user.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.virtio import vhost_user_messages as messages
from rslctl.virtio.backend import VERSION_1, BackendError, What
from rslctl.virtio.vhost_user import VhostUser
from rslctl.virtio.vhost_user_session import NET, Wanted

from tests.unit.virtio import played_backend
from tests.unit.virtio.back_ends import listening, next_event, played, talking
from tests.unit.virtio.split_ring import LIMIT, turn
from tests.unit.virtio.storage import Driven, driven

MRG_RXBUF = 1 << 15


@pytest.mark.parametrize("features", [VERSION_1, MRG_RXBUF, VERSION_1 | MRG_RXBUF])
def test_a_driver_of_net_with_the_long_header_can_be_served(features: int) -> None:
    Wanted(features, ()).check(NET)


def test_a_driver_of_net_with_the_short_header_cannot() -> None:
    with pytest.raises(BackendError, match="a header of 10 bytes"):
        Wanted(0, ()).check(NET)


def test_any_other_driver_needs_no_feature() -> None:
    Wanted(0, ()).check(NET + 1)


def test_what_was_started_is_given_back_once() -> None:
    wanted = Wanted(0, ())
    error, inflight = os.eventfd(0), os.eventfd(0)
    wanted.errors[0] = error
    wanted.inflight = b"", inflight
    wanted.close()
    wanted.close()
    for fd in (error, inflight):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


# With back-ends that are mad or hostile.


@pytest.fixture
def device() -> Iterator[Driven]:
    """A driver of one queue of 128."""
    with driven(128) as made:
        yield made


#: What a back-end does instead of an answer.
MALICE: dict[str, Callable[[bytes], bytes | None]] = {
    "an answer to another message": lambda data: b"\xff" + data[1:],
    "an answer that is no reply": lambda data: data[:4] + b"\1" + data[5:],
    "an answer of another version": lambda data: data[:4] + b"\6" + data[5:],
    "an answer that says to be larger": lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:],
    "an answer that says to be smaller": lambda data: data[:8] + b"\1\0\0\0" + data[12:],
    "half a header": lambda data: data[:5],
    "half an answer": lambda data: data[:-1],
    "a number that is too large": lambda data: data[:12] + b"\xff" * (len(data) - 12),
    "silence": lambda data: None,
}
ALL_REQUESTS = [
    messages.GET_FEATURES,
    messages.GET_PROTOCOL_FEATURES,
    messages.GET_QUEUE_NUM,
    messages.GET_CONFIG,
    messages.GET_INFLIGHT_FD,
    messages.SET_INFLIGHT_FD,
    messages.SET_MEM_TABLE,
    messages.SET_VRING_NUM,
    messages.SET_VRING_BASE,
    messages.SET_VRING_ADDR,
    messages.SET_VRING_CALL,
    messages.SET_VRING_ERR,
    messages.SET_VRING_KICK,
    messages.SET_VRING_ENABLE,
    messages.GET_VRING_BASE,
]
#: A number that is too large is none for these: a back-end may have any features, and queues.
ANY_NUMBER = {messages.GET_FEATURES, messages.GET_PROTOCOL_FEATURES, messages.GET_QUEUE_NUM}


def life(path: Path, device: Driven) -> None:
    """All that is said to a back-end, and that an error leaves nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    backend: VhostUser | None = None
    try:
        backend = played(path, device)
        backend.start(VERSION_1, device.wired)
        backend.stop()
    finally:
        if backend is not None:
            backend.close()
        deadline = time.monotonic() + LIMIT
        while len(os.listdir("/proc/self/fd")) > before:
            assert time.monotonic() < deadline, "a descriptor was left open"
            time.sleep(0.01)


@pytest.mark.parametrize("request_", ALL_REQUESTS)
def test_a_back_end_that_hangs_up_at_any_message_is_an_error(
    tmp_path: Path, device: Driven, request_: int
) -> None:
    def tamper(request: int, answer: bytes | None) -> bytes | None:
        if request == request_:
            raise EOFError
        return answer

    with listening(tmp_path / "s", tamper=tamper):
        if request_ == messages.GET_VRING_BASE:
            life(tmp_path / "s", device)  # it has left the queues: that is as good
            return
        with pytest.raises(BackendError, match="has hung up"):
            life(tmp_path / "s", device)


@pytest.mark.parametrize("malice", MALICE)
def test_a_wrong_answer_to_any_message_is_an_error(
    tmp_path: Path, device: Driven, malice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = malice in ("silence", "half a header", "half an answer")
    if slow:
        monkeypatch.setattr(messages, "LIMIT", 0.05)
    for number, wrong in enumerate(ALL_REQUESTS):
        if malice == "a number that is too large" and wrong in ANY_NUMBER:
            continue

        def tamper(request: int, answer: bytes | None, wrong: int = wrong) -> bytes | None:
            return MALICE[malice](answer) if answer and request == wrong else answer

        path = tmp_path / str(number)
        with listening(path, tamper=tamper):
            if wrong != messages.GET_VRING_BASE:
                with pytest.raises(BackendError):
                    life(path, device)
                continue
            # It hangs up, as it is hung up on: that is as good. A busy machine can be too slow.
            with contextlib.suppress(*[BackendError] * slow):
                life(path, device)


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff" * 12, messages.HEADER.pack(2, 1, 1 << 31), messages.HEADER.pack(2, 5, 0)],
)
def test_a_back_end_whose_requests_are_nonsense_is_heard_no_more(
    tmp_path: Path, device: Driven, nonsense: bytes
) -> None:
    with talking(tmp_path / "s", device) as (backend, _, requests):
        backend.start(VERSION_1, device.wired)
        requests.send(nonsense)
        assert turn(backend, LIMIT) == (True, None)
        assert requests.recv(1) == b""
        backend.stop()  # and is served as before


def test_a_request_that_nobody_knows_is_refused(tmp_path: Path, device: Driven) -> None:
    with talking(tmp_path / "s", device) as (backend, _, requests):
        requests.send(messages.HEADER.pack(3, 9, 8) + bytes(8))
        assert turn(backend, LIMIT) == (True, None)
        assert requests.recv(100) == messages.HEADER.pack(3, 5, 8) + messages.U64.pack(1)


def test_what_nobody_has_asked_for_ends_a_back_end(tmp_path: Path, device: Driven) -> None:
    sessions: list[played_backend.Session] = []
    with (
        listening(tmp_path / "s", sessions=sessions),
        contextlib.closing(played(tmp_path / "s", device)) as backend,
    ):
        sessions[0].connection.send(b"?")
        event = next_event(backend)
        assert event.what is What.AWAY
        assert "sends what nobody has asked for" in event.reason
        assert next_event(backend).what is What.AGAIN


def test_one_that_is_silent_when_it_comes_back_holds_up_nobody(
    tmp_path: Path, device: Driven
) -> None:
    path = tmp_path / "s"
    with listening(path):
        backend = played(path, device)
        backend.start(VERSION_1, device.wired)
    with contextlib.closing(backend), socket.socket(socket.AF_UNIX) as silent:
        assert next_event(backend).what is What.AWAY
        silent.bind(str(path))
        silent.listen(1)
        with _accepted(silent, backend) as connection:
            assert connection.recv(12) == messages.HEADER.pack(messages.GET_FEATURES, 1, 0)
            assert turn(backend) == (False, None)
            backend.stop()  # nothing was said to it, so there is nothing to wait for


def _accepted(server: socket.socket, backend: VhostUser) -> socket.socket:
    deadline = time.monotonic() + LIMIT
    server.settimeout(0.05)
    while True:
        assert time.monotonic() < deadline
        turn(backend)
        with contextlib.suppress(TimeoutError):
            return server.accept()[0]


@pytest.mark.parametrize("how", ["running", "starting"])
def test_one_that_hangs_with_its_queues_has_to_leave_before_the_next_start(
    tmp_path: Path, device: Driven, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    request_ = messages.GET_CONFIG if how == "running" else messages.SET_VRING_ENABLE

    def tamper(request: int, answer: bytes | None) -> bytes | None:
        if hangs.is_set() and request == request_:
            assert goes_on.wait(LIMIT)
        return answer

    protocol = played_backend.PROTOCOL & ~messages.INFLIGHT_SHMFD
    with talking(tmp_path / "s", device, tamper, protocol) as (backend, _, requests):
        if how == "running":
            backend.start(VERSION_1, device.wired)
        hangs.set()
        with monkeypatch.context() as impatient:
            impatient.setattr(messages, "LIMIT", 0.3)
            if how == "running":
                requests.send(messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 1, 0))
                event = next_event(backend)
                assert event is not None and event.what is What.FAILED
            else:
                with pytest.raises(BackendError, match="does not answer"):
                    backend.start(VERSION_1, device.wired)
            backend.stop()
        device.restart()
        assert backend.away
        with pytest.raises(BackendError, match="has not left the queues that it had before"):
            backend.start(VERSION_1, device.wired)
        hangs.clear()
        goes_on.set()
        assert next_event(backend).what is What.AGAIN
        backend.start(VERSION_1, device.wired)
        assert not backend.away
        backend.stop()


def test_a_back_end_that_reads_no_answers_is_heard_no_more(tmp_path: Path, device: Driven) -> None:
    with talking(tmp_path / "s", device) as (backend, _, requests):
        need_reply = 8
        request = messages.HEADER.pack(messages.BACKEND_CONFIG_CHANGE, 1 | need_reply, 0)
        requests.setblocking(False)
        deadline = time.monotonic() + LIMIT
        with pytest.raises(BrokenPipeError):
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        requests.send(100 * request)
                turn(backend, 0.05)
        backend.start(VERSION_1, device.wired)
        backend.stop()
