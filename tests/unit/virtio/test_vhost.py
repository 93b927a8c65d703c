# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel's vhost is told, and when. That it serves then is shown on a board."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rslctl.linux.host import Host
from rslctl.virtio import vhost
from rslctl.virtio.backend import VERSION_1, BackendError, Event, What
from rslctl.virtio.tap import MRG_RXBUF, Tap
from rslctl.virtio.vhost import VhostNet, VhostVsock

from tests.unit.c_programs import check_constants
from tests.unit.programs import there
from tests.unit.virtio.split_ring import LIMIT, turn
from tests.unit.virtio.storage import SIZE, Driven, driven

SEQPACKET = 1 << 1
INDIRECT, EVENT_IDX, MAC = 1 << 28, 1 << 29, 1 << 5


def test_constants_and_ioctl_numbers_are_those_of_the_header() -> None:
    ioctls = [name for name in vars(vhost) if name.startswith(("SET_", "GET_", "NET_", "VSOCK_"))]
    assert len(ioctls) == 13
    facts = {f"VHOST_{name}": getattr(vhost, name) for name in ioctls}
    facts |= {
        "sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region)": vhost.MEMORY.size,
        "sizeof(struct vhost_vring_state)": vhost.STATE.size,
        "sizeof(struct vhost_vring_addr)": vhost.ADDRESS.size,
        "sizeof(struct vhost_vring_file)": vhost.FILE.size,
        "offsetof(struct vhost_memory_region, memory_size)": 8,
        "offsetof(struct vhost_memory_region, userspace_addr)": 16,
        "offsetof(struct vhost_vring_addr, desc_user_addr)": 8,
        "offsetof(struct vhost_vring_addr, used_user_addr)": 16,
        "offsetof(struct vhost_vring_addr, avail_user_addr)": 24,
        "1ull << VIRTIO_VSOCK_F_SEQPACKET": SEQPACKET,
        "1ull << VIRTIO_F_VERSION_1": VERSION_1,
        "1 << VIRTIO_NET_F_MAC": MAC,
        "VHOST_NET_F_VIRTIO_NET_HDR": 27,
    }
    headers = ["stddef.h", "linux/vhost.h", "linux/virtio_config.h", "linux/virtio_net.h"]
    headers.append("linux/virtio_vsock.h")
    check_constants(there("gcc"), headers, facts)


class Kernel:
    """Plays drivers/vhost/vsock.c, net.c and vhost.c of Linux 6.1 by their ioctls, and a tap.

    It refuses what they refuse: to begin without an owner, unknown features, to move a queue that
    runs, rings that are not in the memory it was given, descriptors that are no eventfds. It leaves
    out all that follows: it serves no queue, and knows of addresses only whether they are in
    the memory that it was told of. Other ioctls are the real kernel's.
    """

    def __init__(self, *, features: int, fd: int) -> None:
        self._features = features
        self.fd = fd
        self.told: list[str] = []
        self.taken = 0
        self.cid = 0
        #: CIDs of others, and an ioctl that fails, with its errno.
        self.cids: set[int] = set()
        self.fails: tuple[int, int] = (0, 0)
        self.owned = False
        self.running: set[int] = set()
        self.files: dict[tuple[int, int], int] = {}
        self._memory = (0, 0)
        self._rings: dict[int, tuple[int, ...]] = {}
        self._real = fcntl.ioctl
        self._names = {
            value: name
            for name, value in vars(vhost).items()
            if name.startswith(("SET_", "GET_", "NET_", "VSOCK_"))
        }

    def ioctl(self, fd: int, request: int, data: Any = b"", mutate: bool = True) -> Any:
        if fd != self.fd:
            return self._real(fd, request, data, mutate)
        name = self._names[request]
        if request == self.fails[0]:
            raise OSError(self.fails[1], os.strerror(self.fails[1]))
        number = self._do(name, data)
        if number:
            raise OSError(number, os.strerror(number))
        self.told.append(name)
        return struct.pack("=Q", self._features) if name == "GET_FEATURES" else data

    def _do(self, name: str, data: bytes) -> int:
        """The errno of an ioctl; 0 if it is done."""
        if name == "SET_OWNER":
            owned, self.owned = self.owned, True
            return errno.EBUSY if owned else 0
        if name == "SET_FEATURES":
            (self.taken,) = struct.unpack("=Q", data)
            return errno.EOPNOTSUPP if self.taken & ~self._features else 0
        if name == "VSOCK_SET_GUEST_CID":
            (self.cid,) = struct.unpack("=Q", data)
            if not 2 < self.cid < 2**32 - 1:
                return errno.EINVAL
            return errno.EADDRINUSE if self.cid in self.cids else 0
        if name == "GET_FEATURES":
            return 0
        return self._do_as_owner(name, data) if self.owned else errno.EPERM

    def _do_as_owner(self, name: str, data: bytes) -> int:
        if name == "SET_MEM_TABLE":
            count, padding, _, size, here, flags = struct.unpack("=2I4Q", data)
            self._memory = here, size
            return 0 if (count, padding, flags) == (1, 0, 0) else errno.EOPNOTSUPP
        if name == "VSOCK_SET_RUNNING":
            return self._run({0, 1}, bool(struct.unpack("=i", data)[0]))
        index = struct.unpack_from("=I", data)[0]
        if index > 1:
            return errno.ENOBUFS
        if name == "NET_SET_BACKEND":
            return self._run({index}, struct.unpack_from("=i", data, 4)[0] != -1)
        if name in ("SET_VRING_NUM", "SET_VRING_BASE") and index in self.running:
            return errno.EBUSY
        if name == "SET_VRING_NUM":
            size = struct.unpack_from("=I", data, 4)[0]
            return 0 if size and not size & size - 1 and size <= 0xFFFF else errno.EINVAL
        if name == "SET_VRING_ADDR":
            self._rings[index] = struct.unpack_from("=3Q", data, 8)
        elif name != "SET_VRING_BASE":
            return self._file(name, index, struct.unpack_from("=i", data, 4)[0])
        return 0

    def _file(self, name: str, index: int, fd: int) -> int:
        if fd != -1 and os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:[eventfd]":
            return errno.EINVAL
        self.files[self._number(name), index] = fd
        return 0

    def _number(self, name: str) -> int:
        return int(getattr(vhost, name))

    def _run(self, indices: set[int], begin: bool) -> int:
        here, size = self._memory
        for index in indices if begin or self._memory == (0, 0) else ():
            rings = self._rings.get(index, (0,))
            if not all(here <= each < here + size for each in rings):
                return errno.EFAULT
        self.running = self.running | indices if begin else self.running - indices
        return 0


@pytest.fixture
def device() -> Iterator[Driven]:
    with driven(128, 128) as made:
        yield made


@contextlib.contextmanager
def kernel(monkeypatch: pytest.MonkeyPatch, features: int) -> Iterator[Kernel]:
    fd = os.memfd_create("vhost", os.MFD_CLOEXEC)
    made = Kernel(features=features, fd=fd)
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    try:
        yield made
    finally:
        os.close(fd)


QUEUE = ["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ADDR"]
QUEUE += ["SET_VRING_CALL", "SET_VRING_ERR", "SET_VRING_KICK"]
BACK = ["SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"]
#: What vhost of Linux 6.1 offers, and what is no driver's: LOG_ALL, ACCESS_PLATFORM.
COMMON = 1 << 24 | 1 << 26 | 1 << 27 | INDIRECT | EVENT_IDX | VERSION_1 | 1 << 33
VSOCK_FEATURES = COMMON | SEQPACKET
NET_FEATURES = COMMON | MRG_RXBUF


def test_vsock_is_started_and_stopped_in_the_order_of_qemu(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        assert played.told == ["SET_OWNER", "GET_FEATURES", "VSOCK_SET_GUEST_CID"]
        assert backend.config() == b"\x2a" + bytes(7)
        assert backend.offered() == SEQPACKET | INDIRECT | EVENT_IDX | VERSION_1
        for features in (0, SEQPACKET | VERSION_1):
            played.told = []
            backend.start(features, device.wired)
            assert played.taken == features | VERSION_1
            begun = ["SET_FEATURES", "SET_MEM_TABLE", *QUEUE, *QUEUE, "VSOCK_SET_RUNNING"]
            assert played.told == begun
            assert played.running == {0, 1}
            for each in device.wired:
                index = each.queue.index
                assert played.files[vhost.SET_VRING_KICK, index] == each.kick
                assert played.files[vhost.SET_VRING_CALL, index] == each.call
            played.told = []
            backend.stop()
            assert played.told == ["VSOCK_SET_RUNNING", *BACK, *BACK]
            assert {*played.files.values()} == {-1}
            backend.stop()
            assert len(played.told) == 7
        backend.close()
        os.fstat(played.fd)  # the descriptor was the caller's, and is


def test_a_queue_that_begins_anew_has_nothing_used(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        device.memory.set_u16(device.wired[1].queue.used + 2, 77)
        backend.start(0, device.wired)
        assert device.memory.u16(device.wired[1].queue.used + 2) == 0
        backend.close()


@pytest.mark.parametrize("failing", ["SET_FEATURES", "SET_MEM_TABLE", *QUEUE, "VSOCK_SET_RUNNING"])
def test_what_the_kernel_refuses_is_an_error_and_is_given_back(
    monkeypatch: pytest.MonkeyPatch, device: Driven, failing: str
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        played.fails = getattr(vhost, failing), errno.ENOMEM
        with pytest.raises(BackendError, match="'/dev/vhost-vsock': Cannot allocate memory"):
            backend.start(VERSION_1, device.wired)
        assert played.running == set()
        played.fails = 0, 0
        backend.start(VERSION_1, device.wired)
        assert played.running == {0, 1}
        backend.close()


def test_a_cid_of_another_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        played.cids = {42}
        with pytest.raises(BackendError) as caught:
            VhostVsock(42, device.window, descriptor=played.fd)
        assert str(caught.value) == "cannot take CID 42: Address already in use"
        assert caught.value.hint == "another daemon or a virtual machine has it: choose another"


def test_a_descriptor_of_another_process_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        played.owned = True
        with pytest.raises(BackendError) as caught:
            VhostVsock(42, device.window, descriptor=played.fd)
        assert str(caught.value) == "cannot own '/dev/vhost-vsock': Device or resource busy"


def test_a_driver_that_sets_up_one_queue_only_is_an_error(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        with pytest.raises(BackendError, match="has not set up queue 1, which '/dev/vhost-vsock'"):
            backend.start(VERSION_1, device.wired[:1])
        backend.close()


def test_a_wrong_descriptor_of_the_driver_fails_its_device(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        backend.start(VERSION_1, device.wired)
        os.eventfd_write(played.files[vhost.SET_VRING_ERR, 1], 1)
        _, event = turn(backend, LIMIT)
        assert event is not None
        assert event.what is What.FAILED
        assert event.reason.startswith("'/dev/vhost-vsock' cannot go on with queue 1: the driver")
        assert turn(backend) == (False, None)
        backend.close()


@pytest.mark.parametrize(
    ("make", "module"),
    [
        (lambda host, window: VhostVsock(42, window, host=host), "vhost_vsock"),
        (lambda host, window: VhostNet(_Tap(), window, host=host), "vhost_net"),
    ],
)
def test_without_the_module_the_error_names_it(
    tmp_path: Path, device: Driven, make: Any, module: str
) -> None:
    with pytest.raises(BackendError) as caught:
        make(Host(tmp_path), device.window)
    node = module.replace("_", "-")
    assert str(caught.value) == f"cannot open '{tmp_path}/dev/{node}': No such file or directory"
    assert caught.value.hint == f"load the module: modprobe {module}"


class _Tap(Tap):
    """Plays rslctl.virtio.tap.Tap, whose own tests have the real kernel; its end is a pipe's.

    It leaves out frames. The reading end of a pipe has an error event, as a deleted tap has, once
    the other end is closed.
    """

    def __init__(self) -> None:
        self.name = "rsl0"
        self.prepared: list[int] = []
        self.attached = 0
        reading, self.fd = os.pipe()
        os.close(reading)
        self._deleted = self.fd
        self.fd = os.memfd_create("tap", os.MFD_CLOEXEC)

    def delete(self) -> None:
        os.dup2(self._deleted, self.fd, inheritable=False)

    def attach(self) -> None:
        self.attached += 1

    def prepare(self, features: int) -> None:
        self.prepared.append(features)

    def close(self) -> None:
        super().close()
        if self._deleted >= 0:
            os.close(self._deleted)
        self._deleted = -1


def test_net_is_plugged_into_its_tap_with_the_header_that_the_driver_took(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    mac = bytes.fromhex("020000000001")
    with kernel(monkeypatch, NET_FEATURES) as played:
        tap = _Tap()
        backend = VhostNet(tap, device.window, 128, mac=mac, descriptor=played.fd)
        assert backend.config() == mac
        assert backend.offered() & (VERSION_1 | MRG_RXBUF | MAC) == VERSION_1 | MRG_RXBUF | MAC
        assert not backend.offered() & (1 << 27 | 1 << 26 | 1 << 17 | 1 << 33)
        csum = 1 << 0
        for features in (MAC | csum, MRG_RXBUF | MAC, VERSION_1 | csum):
            played.told = []
            backend.start(features, device.wired)
            # Of what the driver took, what is vhost-net's: not the address, nor what the tap does.
            assert played.taken == features & (MRG_RXBUF | VERSION_1)
            assert tap.prepared[-1] == features
            assert played.told[-2:] == ["NET_SET_BACKEND", "NET_SET_BACKEND"]
            assert played.running == {0, 1}
            backend.stop()
            assert played.running == set()
        backend.close()
        assert tap.fd == -1


def test_a_deleted_tap_fails_its_device_once_and_is_attached_to_anew(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, NET_FEATURES) as played:
        tap = _Tap()
        backend = VhostNet(tap, device.window, 128, descriptor=played.fd)
        assert backend.watch()[tap.fd] == 0
        tap.delete()
        assert select.select([], [tap.fd], [], LIMIT)[1]
        event = backend.ready(tap.fd, select.EPOLLERR)
        assert event == Event(What.FAILED, "tap 'rsl0' was deleted")
        assert tap.fd not in backend.watch()
        backend.stop()
        backend.start(VERSION_1, device.wired)
        assert tap.attached == 1
        assert tap.fd in backend.watch()
        backend.close()


@pytest.mark.parametrize(("value", "refused"), [("1\n", True), ("0\n", False)])
def test_zerocopy_is_refused_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, device: Driven, tmp_path: Path, value: str, refused: bool
) -> None:
    parameter = tmp_path / "sys/module/vhost_net/parameters/experimental_zcopytx"
    parameter.parent.mkdir(parents=True)
    parameter.write_text(value)
    host = Host(tmp_path)
    with kernel(monkeypatch, NET_FEATURES) as played:
        tap = _Tap()
        if not refused:
            VhostNet(tap, device.window, descriptor=played.fd, host=host).close()
            return
        with pytest.raises(BackendError, match="frames would vanish") as caught:
            VhostNet(tap, device.window, descriptor=played.fd, host=host)
        assert "experimental_zcopytx=0" in caught.value.hint
        assert tap.fd == -1


def test_the_kernel_is_given_the_window_and_no_more(
    monkeypatch: pytest.MonkeyPatch, device: Driven
) -> None:
    with kernel(monkeypatch, VSOCK_FEATURES) as played:
        backend = VhostVsock(42, device.window, descriptor=played.fd)
        backend.start(VERSION_1, device.wired)
        assert played._memory == (device.window.address, SIZE)
        backend.close()
