# SPDX-License-Identifier: BSD-3-Clause
"""What all back-ends share: the window of the memory, and the features for a driver."""

from __future__ import annotations

import pytest
from rslctl.virtio.backend import RINGS, VERSION_1, BackendError, for_driver

from tests.unit.virtio.split_ring import BASE
from tests.unit.virtio.storage import SIZE, driven


@pytest.mark.parametrize(
    ("address", "size"),
    [(BASE - 1, 2), (BASE + SIZE - 1, 2), (BASE + SIZE, 1), (0, 1), (2**64 - 1, 1)],
)
def test_what_is_not_in_the_window_has_no_address_here(address: int, size: int) -> None:
    with driven(8) as device, pytest.raises(BackendError, match=f"{size} bytes at {address:#x}"):
        device.window.here(address, size)


def test_the_bytes_of_the_window_are_where_it_says() -> None:
    with driven(8) as device:
        assert device.window.here(BASE, SIZE) == device.memory.address_of(BASE)
        last = BASE + SIZE - 1
        assert device.window.here(last, 1) == device.memory.address_of(last)


def test_a_used_index_is_read_and_cleared_and_nothing_beside_it() -> None:
    with driven(8) as device:
        queue = device.drivers[0].queue
        device.memory.write(queue.used, b"\x01\x02\x03\x04\x05\x06")
        assert device.window.used_index(queue) == 0x0403
        device.window.clear_used(queue)
        assert device.memory.read(queue.used, 6) == b"\x01\x02\0\0\x05\x06"


def test_a_driver_is_offered_no_bit_of_a_protocol_or_of_a_form_of_rings_that_is_not_served() -> (
    None
):
    everything = (1 << 64) - 1
    of_device = (1 << 24) - 1 | (1 << 64) - (1 << 50)
    assert for_driver(4, everything) == of_device | RINGS
    assert for_driver(4, VERSION_1 | 1 << 30) == VERSION_1


@pytest.mark.parametrize(
    ("device_id", "bits"),
    [
        # CTRL_GUEST_OFFLOADS, MTU, MAC, STATUS, CTRL_VQ to CTRL_MAC_ADDR, HASH_REPORT, RSS
        (1, (2, 3, 5, 16, *range(17, 24), 57, 60)),
        (2, (11, 12)),  # CONFIG_WCE, MQ
        (3, (1,)),  # MULTIPORT
        (26, (0,)),  # NOTIFICATION
    ],
)
def test_features_that_want_what_is_not_served_are_left_out(
    device_id: int, bits: tuple[int, ...]
) -> None:
    left = for_driver(device_id, (1 << 64) - 1)
    assert [bit for bit in bits if left >> bit & 1] == []
    assert left & RINGS == RINGS
