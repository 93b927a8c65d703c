# SPDX-License-Identifier: BSD-3-Clause
"""What is told of the devices in a link's memory.

The memory is a file in place of the link's device, which can be mapped as that can. It leaves out
that others can have the device open: open_files is what the test says.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rslctl.linux import mbox
from rslctl.profile import virtio
from rslctl.region import Region
from rslctl.virtio import headers, registers, report
from rslctl.virtio.engine import Identity, Put, Queue
from rslctl.virtio.engines import engine
from rslctl.virtio.registers import Register, Status

from tests.unit.machine import Machine

SIZE = 0x1000000
BASE = 0x70000000
NODE = "/dev/rsl_mbox0"


class Memory:
    """The memory of the link of a machine."""

    def __init__(self, machine: Machine) -> None:
        machine.with_link()
        self.host = machine.host
        self.path = machine.path(NODE)
        os.truncate(self.path, SIZE)
        self.is_open()

    def is_open(self, count: int = 1) -> None:
        """Have *count* daemons have the link open."""
        (Path(self.host.where(f"{mbox.CLASS}/rsl_mbox0/open_files"))).write_text(f"{count}\n")

    def put(self, header: int, offset: int, value: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(header + offset)
            file.write(struct.pack("<I", value))

    def publish(
        self, *words: str, version: int = 1, device_tree: bool = False, features: int = 0x3
    ) -> list[virtio.Device]:
        """Write headers as the service does, by its engine; return their places."""
        devices = virtio.arrange(words, device_tree=device_tree, version=version)
        for each in devices:
            identity = Identity(
                device_id=each.device_id,
                features=features,
                config=b"",
                queues=(each.queue_size,) * each.queues,
                region=Region(BASE + each.region.offset, each.region.size),
                memory=Region(BASE, SIZE),
                vectors=(0,) * each.queues,
            )
            for action in engine(version, identity).publish():
                if isinstance(action, Put):
                    self.put(each.header, action.offset, action.value)
        return devices

    def read(self) -> list[dict[str, Any]] | None:
        return headers.read(self.host, mbox.pick(self.host, None))

    def states(self) -> list[tuple[str, str]]:
        return [(each["name"], each["state"]) for each in self.read() or []]


@pytest.fixture
def memory(machine: Machine) -> Memory:
    return Memory(machine)


def test_numbers_are_those_of_the_modules_that_take_longer_to_load() -> None:
    assert {
        kind.device_id: name for name, kind in virtio.KINDS.items() if kind.device_id
    } == headers.KINDS
    assert registers.HEADER_SIZE == headers._SIZE
    assert registers.MAGIC.to_bytes(4, "little") == headers._MAGIC
    assert virtio.DEVICE_TREE_SIZE == headers._DEVICE_TREE_SIZE
    assert virtio.QUEUE_ALIGN == headers._PAGE
    assert virtio.MOST == headers._MOST
    assert registers.HEADER_SIZE == virtio.HEADER_SIZE
    assert (Register.REPORT, report.AWAY) == (headers._REPORT, headers._AWAY)
    assert report.MAGIC.to_bytes(4, "little") == headers._REPORT_MAGIC
    assert report.QUEUES == headers._QUEUES
    assert 4 * report.QUEUE_WORDS == headers._QUEUE_SIZE
    for name in ("BACK_END", "OFFERED", "TAKEN", "COUNT", "QUEUE"):
        assert getattr(headers, f"_{name}") == 4 * report.Word[name], name
    end = headers._REPORT + headers._QUEUE + headers._QUEUES * headers._QUEUE_SIZE
    assert end == registers.HEADER_SIZE
    for name in ("VERSION", "DEVICE_ID", "STATUS", "DEVICE_FEATURES", "DRIVER_FEATURES"):
        assert getattr(headers, f"_{name}") == Register[name], name
    for name in ("SHM_LEN_LOW", "SHM_LEN_HIGH"):
        assert getattr(headers, f"_{name}") == Register[name], name
    bits = [Status.NEEDS_RESET, Status.FAILED, Status.DRIVER_OK]
    assert list(headers._STATES) == bits


@pytest.mark.parametrize(("version", "device_tree"), [(1, False), (1, True), (2, False)])
def test_devices_are_found_where_the_service_puts_them(
    memory: Memory, version: int, device_tree: bool
) -> None:
    words = (
        "rng",
        "console",
        "net",
        "blk",
        "vsock,region=0x21000",
        "net",
        "fs",
        "device,id=41,queues=2",
    )
    placed = memory.publish(*words, version=version, device_tree=device_tree)
    found = memory.read()
    assert found is not None
    assert [each["name"] for each in found] == [each.name for each in placed]
    assert [each["header"] for each in found] == [each.header for each in placed]
    assert [each["device_id"] for each in found] == [each.device_id for each in placed]
    assert {each["version"] for each in found} == {version}
    assert found[0] == {
        "name": "rng",
        "kind": "rng",
        "header": placed[0].header,
        "device_id": 4,
        "version": version,
        "status": 0,
        "state": "offered",
        "features_offered": 3 if version == 1 else None,
        "features_taken": None,
        "queues": None,
    }


def test_a_full_row_of_headers_ends_where_regions_begin(memory: Memory) -> None:
    memory.publish(*["rng"] * virtio.MOST)
    memory.put(virtio.DEVICE_TREE_SIZE, 0, registers.MAGIC)
    assert len(memory.read() or []) == virtio.MOST == 128


def test_the_state_is_that_of_the_status(memory: Memory) -> None:
    memory.publish(*["rng"] * 6)
    for number, status in enumerate((0, 1, 4, 7, 0x47, 0x8F)):
        memory.put(0x200 * number, Register.STATUS, status)
    assert [state for _, state in memory.states()] == [
        "offered",
        "negotiating",
        "running",
        "running",
        "broken",
        "failed",
    ]


def test_what_a_killed_daemon_left_is_not_running(memory: Memory) -> None:
    memory.publish("rng")
    memory.put(0, Register.STATUS, 7)
    memory.is_open(0)
    assert memory.states() == [("rng", "left")]


def test_features_that_a_driver_left_are_known_in_version_1_only(memory: Memory) -> None:
    memory.publish("net", features=0x8000_0025)
    memory.put(0, Register.DRIVER_FEATURES, 0x5)
    (found,) = memory.read() or []
    assert headers.not_taken(found) is None  # the driver may write them again
    memory.put(0, Register.STATUS, 7)
    (found,) = memory.read() or []
    assert headers.not_taken(found) == [5, 31]
    memory.publish("net", version=2)
    memory.put(0, Register.STATUS, 0xF)
    (found,) = memory.read() or []
    assert (found["state"], headers.not_taken(found)) == ("running", None)


def test_a_report_tells_queues_and_features_of_a_device_that_runs(memory: Memory) -> None:
    memory.publish("rng", "net", version=2)
    memory.put(0x200, Register.STATUS, 0xF)
    queues = [
        Queue(0, 128, 0, BASE + 0x20000, BASE + 0x21000),
        Queue(1, 64, 0, BASE + 0x22000, BASE + 0x23000),
    ]
    with memory.path.open("r+b") as file, mmap.mmap(file.fileno(), SIZE) as whole:
        told = report.Report(whole, 0x200, BASE)
        served = [(queues[0], 1), (queues[1], 31)]
        told.running(0x1_0000_0023, 0x1_0000_0020, served, away=False)
        for offset, index in ((0x20002, 70), (0x21002, 6), (0x22002, 0xFFFF), (0x23002, 3)):
            whole[offset : offset + 2] = index.to_bytes(2, "little")
        rng, net = memory.read() or []
        assert (rng["state"], rng["queues"], headers.not_taken(rng)) == ("offered", None, None)
        assert (net["state"], headers.not_taken(net)) == ("running", [0, 1])
        assert net["features_offered"] == 0x1_0000_0023
        assert net["queues"] == [
            {"queue": 0, "size": 128, "vector": 1, "available": 70, "used": 6},
            {"queue": 1, "size": 64, "vector": 31, "available": 0xFFFF, "used": 3},
        ]
        told.away(away=True)
        assert memory.states()[1] == ("net", "away")
        told.away(away=False)
        assert memory.states()[1] == ("net", "running")
        memory.is_open(0)
        assert [each["queues"] for each in memory.read() or []] == [None, None]
        memory.is_open()
        told.stopped()
        assert [each["queues"] for each in memory.read() or []] == [None, None]
        told.close()


def test_rings_that_cannot_be_where_a_report_has_them_have_no_index(memory: Memory) -> None:
    memory.publish("rng", version=2)
    memory.put(0, Register.STATUS, 0xF)
    memory.put(Register.REPORT, 0, report.MAGIC)
    memory.put(Register.REPORT, 4, 1)
    memory.put(Register.REPORT, 24, 10_000)
    for offset in (32 + 4, 32 + 12 + 8):
        memory.put(Register.REPORT, offset, 0xFFFF_FFFC)
    # "virt", and the version, are at the start of the memory.
    memory.put(Register.REPORT, 32 + 24 + 4, 2)
    memory.put(Register.REPORT, 32 + 36 + 4, 1)
    (rng,) = memory.read() or []
    assert len(rng["queues"]) == 8
    assert [each["available"] for each in rng["queues"][:4]] == [None, 0x7472, 2, None]
    assert [each["used"] for each in rng["queues"][:2]] == [0x7472, None]


def test_nothing_is_written_and_the_link_is_not_served_by_a_look(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.publish("rng", "net", device_tree=True)
    memory.path.chmod(0o400)
    before = memory.path.read_bytes()
    flags = []
    really = type(memory.host).open

    def opened(host: Any, name: str, how: int, mode: int = 0o666) -> int:
        if name == NODE:
            flags.append(how & os.O_ACCMODE)
        return really(host, name, how, mode)

    monkeypatch.setattr(type(memory.host), "open", opened)
    assert len(memory.read() or []) == 2
    # rsl_mbox_serves() of kmod/rsl_mbox/chardev.c: a file for reading only is not counted.
    assert flags == [os.O_RDONLY]
    assert memory.path.read_bytes() == before
    files = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert str(memory.path) not in files
    assert str(memory.path) not in Path("/proc/self/maps").read_text()


def test_memory_without_headers_has_no_devices(memory: Memory) -> None:
    assert memory.read() == []


def test_who_may_not_open_the_link_is_told_nothing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    memory.publish("rng")
    monkeypatch.setattr(type(memory.host), "open", lambda *_: refused())
    link = mbox.LinkDevice(
        name="rpu0",
        device="rsl_mbox0",
        transport="doorbell",
        vectors=1,
        memory_base=None,
        memory_size=SIZE,
        open_files=1,
        stalled_ms=None,
    )
    assert headers.read(memory.host, link) is None


def test_a_link_without_memory_or_one_that_has_gone_is_told_as_unknown(machine: Machine) -> None:
    memory = Memory(machine)
    link = mbox.pick(memory.host, None)
    memory.path.unlink()
    assert headers.read(memory.host, link) is None
    machine.write(f"{mbox.CLASS}/rsl_mbox0/memory_size", "0x0\n")
    assert memory.read() is None


@given(
    fill=st.binary(min_size=4, max_size=16), length=st.integers(0, 2**64 - 1), page=st.booleans()
)
@settings(max_examples=40)
def test_whatever_a_remote_writes_the_answer_is_small(
    tmp_path_factory: pytest.TempPathFactory, fill: bytes, length: int, page: bool
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    memory = Memory(machine)
    data = bytearray(fill * (0x20000 // len(fill)))
    length = length & 0xFFFFF000 if page else length
    for offset in range(0x10000 if page else 0, len(data), 0x200):
        data[offset : offset + 4] = b"virt"
        struct.pack_into("<Q", data, offset + Register.SHM_LEN_LOW, length)
    with memory.path.open("r+b") as file:
        file.write(data)
    found = memory.read()
    assert found is not None
    assert len(found) <= virtio.MOST
    for each in found:
        assert each["name"].rstrip("0123456789") in (*headers.KINDS.values(), "device")
        numbers = [value for value in each.values() if isinstance(value, int)]
        assert all(0 <= value < 2**32 for value in numbers)
