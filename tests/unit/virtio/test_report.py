# SPDX-License-Identifier: BSD-3-Clause
"""The words of a report, as docs/reference/virtio.md has them."""

from __future__ import annotations

import mmap
import struct

from rslctl.virtio.engine import Queue
from rslctl.virtio.report import Report

BASE = 0x70000000
HEADER = 0x600
AT = HEADER + 0x180


def words(memory: mmap.mmap, count: int) -> list[int]:
    return list(struct.unpack_from(f"<{count}I", memory, AT))


def test_a_report_has_the_documented_words_and_nothing_outside() -> None:
    with mmap.mmap(-1, 0x20000) as memory:
        report = Report(memory, HEADER, BASE)
        queue = Queue(1, 64, 0, BASE + 0x12340, BASE + 0x13000)
        report.running(0x1_0000_0003, 0x1_0000_0001, [(queue, 2)], away=False)
        assert memory[AT : AT + 4] == b"rslq"
        assert words(memory, 11)[1:] == [1, 3, 1, 1, 1, 1, 0, 0x0201_0040, 0x12340, 0x13000]
        report.away(away=True)
        assert words(memory, 2)[1] == 2
        report.away(away=False)
        assert words(memory, 2)[1] == 1
        report.stopped()
        assert words(memory, 1) == [0]
        report.close()
        assert not any(memory[:AT]) and not any(memory[AT + 0x80 :])


def test_a_ring_that_has_no_offset_of_32_bits_is_told_as_none() -> None:
    with mmap.mmap(-1, 0x20000) as memory:
        report = Report(memory, HEADER, BASE)
        queue = Queue(0, 8, 0, BASE + (1 << 32), BASE + 0xFFFF_FFFE)
        report.running(0, 0, [(queue, 0)], away=True)
        report.close()
        assert words(memory, 2)[1] == 2
        assert words(memory, 11)[9:] == [1, 0xFFFF_FFFE]


def test_of_more_queues_than_there_is_room_for_the_first_are_told() -> None:
    with mmap.mmap(-1, 0x20000) as memory:
        report = Report(memory, HEADER, BASE)
        many = [(Queue(n, 8, 0, BASE + 0x10000, BASE + 0x11000), n) for n in range(20)]
        report.running(0, 0, many, away=False)
        report.close()
        assert words(memory, 7)[6] == 8
        assert words(memory, 32)[8 + 3 * 7] == 7 << 24 | 7 << 16 | 8
        assert not any(memory[AT + 0x80 :])
