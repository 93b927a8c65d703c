# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that the service manager keeps, which is played here."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rslctl.daemon import descriptors, fdstore, manifest
from rslctl.daemon.descriptors import Offer
from rslctl.errors import RslError, WaitTimeoutError
from rslctl.linux.host import Host
from rslctl.region import Region

UNIT = "rsl-daemon@rpu0.service"


class Manager:
    """What systemd does with what it is sent, but for the unit's limit."""

    def __init__(self, path: Path, *, most: int = 100, deaf: bool = False) -> None:
        self.most = most
        self.kept: dict[str, int] = {}
        self.told: list[str] = []
        self._deaf = deaf
        self._open: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 4096, 10)
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            self.told.append(" ".join(fields))
            if "END" in fields:
                break
            if "FDSTOREREMOVE" in fields:
                for fd in [self.kept.pop(fields["FDNAME"], -1)]:
                    if fd >= 0:
                        os.close(fd)
            elif "FDSTORE" in fields and len(self.kept) < self.most:
                self.kept[fields["FDNAME"]] = fds.pop()
            if "BARRIER" in fields and self._deaf:
                self._open += fds
                continue
            for fd in fds:
                os.close(fd)

    def show(self, command: Sequence[str], *, hint: str = "") -> str:
        """The answer of systemctl."""
        assert list(command)[:2] == ["systemctl", "show"]
        assert command[-1] == UNIT
        return f"{len(self.kept)}\n"

    def end(self) -> None:
        self._socket.connect(self._socket.getsockname())
        self._socket.send(b"END=1")
        self._thread.join()
        self._socket.close()
        for fd in (*self.kept.values(), *self._open):
            os.close(fd)


class Played(descriptors.Source):
    """A source whose link is played; counts how often it was asked."""

    def __init__(self, memory: Region | None, eventfds: bool) -> None:
        self.name, self.eventfds, self.made = "rpu0", eventfds, 0
        self._told = manifest.About("daemon", "rpu0", "doorbell", 2, memory)

    @property
    def about(self) -> manifest.About:
        return self._told

    def __call__(self) -> Offer:
        self.made += 1
        offer = Offer(self.about)
        for name in self.names[:-1]:
            offer.fds[name] = os.memfd_create(name)
        return offer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return Host()


@pytest.fixture
def manager(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    monkeypatch.setattr(host, "run", made.show)
    yield made
    made.end()


MEMORY = Region(0x70000000, 0x1000)


def test_the_manager_keeps_every_descriptor_by_its_name(host: Host, manager: Manager) -> None:
    source = Played(MEMORY, eventfds=True)
    assert fdstore.keep(host, UNIT, source)
    names = ["shmem", "notify0", "notify1", "kick0", "kick1", "manifest"]
    assert list(manager.kept) == source.names == names
    assert b'"link": "rpu0"' in os.pread(manager.kept["manifest"], 4096, 0)
    # Those of another mode would be in the way of these.
    assert manager.told.count("FDSTOREREMOVE FDNAME") == 3 + 2 * 32
    assert manager.told[-1] == "BARRIER"


def test_what_is_kept_already_stays_but_for_the_manifest(host: Host, manager: Manager) -> None:
    source = Played(MEMORY, eventfds=False)
    assert fdstore.keep(host, UNIT, source)
    kept = {name: os.fstat(fd).st_ino for name, fd in manager.kept.items()}
    assert not fdstore.keep(host, UNIT, source)
    now = {name: os.fstat(fd).st_ino for name, fd in manager.kept.items()}
    assert source.made == 1
    assert {name for name in kept if now[name] != kept[name]} == {"manifest"}


def test_eventfds_whose_end_nothing_tells_are_made_anew(host: Host, manager: Manager) -> None:
    source = Played(None, eventfds=True)
    for _ in range(2):
        assert fdstore.keep(host, UNIT, source)
    assert source.made == 2


def test_a_unit_that_keeps_too_few_is_told_what_to_set(host: Host, manager: Manager) -> None:
    manager.most = 2
    with pytest.raises(RslError, match=rf"keeps 2 descriptors for {UNIT}, not 3$") as error:
        fdstore.keep(host, UNIT, Played(MEMORY, eventfds=False))
    assert error.value.hint.startswith("set FileDescriptorStoreMax=3 or more and NotifyAccess=exec")


def test_a_manager_that_does_not_take_them_is_not_waited_for_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = Manager(tmp_path / "notify", deaf=True)
    monkeypatch.setattr(host, "run", made.show)
    monkeypatch.setattr(fdstore, "_TIMEOUT", 0.05)
    with pytest.raises(WaitTimeoutError, match=r"did not take the descriptors in 0\.05 s"):
        fdstore.keep(host, UNIT, Played(MEMORY, eventfds=False))
    made.end()


def test_without_a_manager_it_is_said_what_this_is_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    source = Played(MEMORY, eventfds=False)
    with pytest.raises(RslError, match="NOTIFY_SOCKET is not set") as error:
        fdstore.keep(Host(), UNIT, source)
    assert "ExecStartPre= of a unit" in error.value.hint
    assert source.made == 0
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setattr(Host, "run", lambda *_: "0")
    with pytest.raises(RslError, match="cannot hand descriptors to the service manager: No such"):
        fdstore.keep(Host(), UNIT, source)
