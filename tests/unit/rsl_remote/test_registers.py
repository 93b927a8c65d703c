# SPDX-License-Identifier: BSD-3-Clause
"""The driver's writes, in their order, against the documents: played devices answer them."""

from __future__ import annotations

import pytest
from rslctl.virtio.engine import Queue
from rslctl.virtio.rng import RngBackend

from tests.unit.rsl_remote.conftest import MakeLink
from tests.unit.rsl_remote.devices import Net, Vsock
from tests.unit.rsl_remote.played import ACK, RslDaemon, Transactions
from tests.unit.rsl_remote.support import BASE, REFUSED, REGIONS, Link, Served

Trace = list[tuple[str, int, int]]

DOORBELL = ("notify", 0, 0)


def writes(*pairs: tuple[int, int], header: int = 0) -> Trace:
    return [("write", header + offset, value) for offset, value in pairs]


def rung(*pairs: tuple[int, int]) -> Trace:
    """Writes of version 1, and the doorbell."""
    return [*writes(*pairs), DOORBELL]


def told(*pairs: tuple[int, int]) -> Trace:
    """Writes of version 2, each with its transaction."""
    return [
        step
        for offset, value in pairs
        for step in [*writes((offset, value), (0xD0, offset | 4 << 16)), DOORBELL]
    ]


def old(link: Link, backend: RngBackend | Vsock | Net, size: int) -> Served:
    identity = link.identity(backend, size)
    return link.serve(RslDaemon(identity), backend, (0,) * len(backend.queues))


def new(link: Link, backend: RngBackend | Vsock | Net, size: int) -> Served:
    identity = link.identity(backend, size)
    return link.serve(Transactions(identity), backend, identity.vectors)


def test_version_1_comes_up_as_the_existing_firmware_does(make_link: MakeLink) -> None:
    """Section 5 of the description, for a device of two queues."""
    link = make_link(1)
    served = old(link, Vsock(link.memory), 0x10000)
    assert link.number("find", 19, 0) == 0
    link.trace()
    assert link.ask("reset") == ["0", f"{REGIONS:x}", f"{REGIONS + 0x10000:x}"]
    assert link.trace() == [
        *rung((0x70, 1)),
        *writes((0x28, 4096)),
        *rung((0x70, 2)),
    ]
    assert link.ask("negotiate", 0xFFFFFFFF) == ["0", "0"]
    assert link.trace() == rung((0x20, 0))
    page = (BASE + REGIONS) >> 12
    for index in range(2):
        # The ring has the size that the device names, of which 64 descriptors are used.
        assert link.ask("setup", index, 64) == ["0", "128", "64"]
        pfn = page + 2 * index
        assert link.trace() == [
            *rung((0x30, index), (0x38, 128), (0x3C, 4096), (0x40, pfn)),
            *writes((0x40, pfn)),
        ]
    assert link.number("start") == 0
    assert link.trace() == rung((0x70, 4))
    assert [(each.index, each.desc) for each in _queues(served)] == [
        (0, BASE + REGIONS),
        (1, BASE + REGIONS + 0x2000),
    ]
    assert served.register(0x40) != ACK


def _queues(served: Served) -> list[Queue]:
    return [wired.queue for _, wired in served.wired]


def test_version_1_notifies_by_the_doorbell_of_all(make_link: MakeLink) -> None:
    link = make_link(1, 4)
    old(link, Vsock(link.memory), 0x10000)
    link.ask("find", 19, 0)
    assert link.number("vsock", "begin", 4, 1024) == 0
    link.trace()
    assert link.number("vsock", "connect", 2, 99) == 0
    assert link.trace() == rung((0x50, 1))


def test_version_2_tells_the_device_of_each_write(make_link: MakeLink) -> None:
    """The contract of version 2, for a device of one queue."""
    link = make_link(2, 4)
    served = new(link, RngBackend(link.memory, lambda: None), 0x6000)
    assert link.number("find", 4, 0) == 0
    link.trace()
    assert link.ask("reset") == ["0", f"{REGIONS:x}", f"{REGIONS + 0x6000:x}"]
    assert link.trace() == told((0x70, 0), (0x70, 1), (0xAC, 0), (0x70, 3))
    assert link.ask("negotiate", (1 << 64) - 1) == ["0", f"{1 << 32:x}"]
    assert link.trace() == told(
        *((0x14, 0), (0x24, 0), (0x20, 0)),
        *((0x14, 1), (0x24, 1), (0x20, 1)),
        (0x70, 11),
    )
    assert link.ask("setup", 0, 64) == ["0", "64", "64"]
    desc, high = (BASE + REGIONS) & 0xFFFFFFFF, BASE >> 32
    avail = desc + 16 * 64
    used = -(-(avail + 6 + 2 * 64) // 64) * 64
    assert link.trace() == told(
        *((0x30, 0), (0x38, 64)),
        *((0x80, desc), (0x84, high), (0x90, avail), (0x94, high), (0xA0, used), (0xA4, high)),
        (0x44, 1),
    )
    assert link.number("start") == 0
    assert link.trace() == told((0x70, 15))
    assert served.features == 1 << 32
    link.ask("queue", "add", 0, 0, 1, 16)
    link.ask("queue", "notify", 0)
    assert link.trace() == [("notify", 1, 0)]


def test_version_2_is_refused_without_the_feature_of_that_name(make_link: MakeLink) -> None:
    link = make_link(2)
    backend = Net(link.memory)
    backend.features = Net.MAC
    new(link, backend, 0x80000)
    link.ask("find", 1, 0)
    link.ask("reset")
    assert link.number("negotiate", Net.MAC) == REFUSED


def test_a_device_that_does_not_agree_to_features_is_refused(make_link: MakeLink) -> None:
    link = make_link(2)
    served = new(link, Net(link.memory), 0x80000)
    assert isinstance(served.engine, Transactions)
    link.ask("find", 1, 0)
    for served.engine.refuses, rc in ((True, REFUSED), (False, 0)):
        link.ask("reset")
        assert link.number("negotiate", Net.MAC) == rc


@pytest.mark.parametrize("kind", ["rng", "vsock"])
def test_regions_that_begin_at_a_header_leave_the_headers_alone(
    make_link: MakeLink, kind: str
) -> None:
    """The RSL daemon without a device tree has the first region at the start of the memory."""
    link = make_link(1)
    link.end = 0
    old(link, RngBackend(link.memory, lambda: None), 0x6000)
    old(link, Vsock(link.memory), 0x10000)
    number, start, end = {"rng": (4, 0x400, 0x6000), "vsock": (19, 0x6000, 0x16000)}[kind]
    assert link.number("find", number, 0) == 0
    assert link.ask("reset") == ["0", f"{start:x}", f"{end:x}"]
