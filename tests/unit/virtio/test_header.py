# SPDX-License-Identifier: BSD-3-Clause
"""A header in the memory of a link."""

from __future__ import annotations

import struct
import threading

from rslctl.virtio.engine import Barrier, Kick, Put
from rslctl.virtio.header import Header
from rslctl.virtio.registers import HEADER_SIZE, Register
from rslctl.virtio.wiring import Wiring

from tests.unit.virtio.links import played
from tests.unit.virtio.remote_side import until


def test_a_copy_has_the_registers_at_their_offsets_and_nothing_else() -> None:
    with played() as (link, other):
        numbers = range(HEADER_SIZE // 4)
        other.memory[0x400:0x600] = struct.pack(f"<{len(numbers)}I", *numbers)
        other.memory[0x600:0x604] = b"next"
        header = Header(link.memory, 0x400, Wiring(link, {}))
        assert header.read() == bytes(other.memory[0x400:0x600])
        assert header.register(Register.STATUS) == Register.STATUS // 4
        header.close()


def test_a_put_changes_one_register_and_a_kick_comes_after_it() -> None:
    with played() as (link, other):
        header = Header(link.memory, 0x200, Wiring(link, {}))
        other.memory[:0x600] = b"\xff" * 0x600
        for action in (Put(Register.STATUS, 0x01020304), Barrier(), Kick()):
            header.perform(action)
        assert other.wait(30) == [0]
        expected = bytearray(b"\xff" * 0x600)
        expected[0x270:0x274] = b"\x04\x03\x02\x01"
        assert other.memory[:0x600] == expected
        header.close()


def test_a_header_that_changes_all_the_time_is_read_all_the_same() -> None:
    with played() as (link, other):
        header = Header(link.memory, 0, Wiring(link, {}))
        ended = threading.Event()

        def write() -> None:
            while not ended.is_set():
                for value in range(256):
                    other.memory[0x30] = value

        writer = threading.Thread(target=write)
        writer.start()
        seen: set[int] = set()

        def changes() -> bool:
            seen.add(header.read()[0x30])
            return len(seen) > 10

        try:
            until(changes, "it stays as it is")
        finally:
            ended.set()
            writer.join()
        header.close()


def test_the_memory_can_be_unmapped_after_the_header_is_closed() -> None:
    with played() as (link, _):
        memory = link.memory
        header = Header(memory, 0, Wiring(link, {}))
        header.read()
        header.close()
    assert memory.closed
