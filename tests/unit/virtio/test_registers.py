# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of virtio-mmio are those of Linux."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rslctl.virtio import registers
from rslctl.virtio.registers import Interrupt, Register, Status

HEADERS = Path("/usr/include/linux")

#: The registers that Linux calls otherwise, or does not have.
OTHERWISE = {"MAGIC": "MAGIC_VALUE"}
OWN = {
    *("QUEUE_RESET", "TRANSACTION", "QUEUE_NOTIFY_VECTOR", "QUEUE_KICK_VECTOR", "CONFIG_VECTOR"),
    "REPORT",
}


def defined(name: str, prefix: str) -> dict[str, int]:
    """The numbers that a header of Linux defines."""
    path = HEADERS / name
    if not path.exists():
        pytest.skip(f"{path} is missing: package linux-libc-dev")
    found = re.findall(rf"^#define\s+{prefix}(\w+)\s+\(?(0x\w+|\d+)", path.read_text(), re.M)
    return {key: int(value, 0) for key, value in found}


def test_offsets_are_those_of_linux() -> None:
    known = defined("virtio_mmio.h", "VIRTIO_MMIO_")
    own = {each.name: each.value for each in Register if each.name not in OWN}
    assert own == {name: known[OTHERWISE.get(name, name)] for name in own}


def test_bits_of_status_are_those_of_linux() -> None:
    known = defined("virtio_config.h", "VIRTIO_CONFIG_S_")
    assert {name: value for name, value in vars(Status).items() if name.isupper()} == known


def test_bits_of_interrupts_are_those_of_linux() -> None:
    text = (HEADERS / "virtio_mmio.h").read_text() if (HEADERS / "virtio_mmio.h").exists() else ""
    if not text:
        pytest.skip("virtio_mmio.h is missing: package linux-libc-dev")
    bits = dict(re.findall(r"#define VIRTIO_MMIO_INT_(\w+)\s+\(1 << (\d)\)", text))
    assert {name: 1 << int(bit) for name, bit in bits.items()} == {
        "VRING": Interrupt.USED,
        "CONFIG": Interrupt.CONFIG,
    }


def test_features_are_those_of_linux() -> None:
    known = defined("virtio_config.h", "VIRTIO_F_") | defined("virtio_ring.h", "VIRTIO_RING_F_")
    own = {name[2:]: value for name, value in vars(registers).items() if name[:2] == "F_"}
    # Those that are new may be missing where headers are old.
    for name in own.keys() & known.keys():
        assert own[name] == 1 << known[name], name
    assert {"VERSION_1", "RING_PACKED", "NOTIFY_ON_EMPTY"} <= own.keys() & known.keys()


def test_registers_of_this_project_are_in_reserved_words() -> None:
    # Virtio 1.2, table 4.1: from QUEUE_RESET to CONFIG_GENERATION there is nothing.
    own = [Register[name] for name in sorted(OWN - {"QUEUE_RESET", "REPORT"})]
    assert all(Register.QUEUE_RESET < each < Register.CONFIG_GENERATION for each in own)
    assert Register.CONFIG + registers.CONFIG_SIZE == Register.REPORT
    assert len({int(each) for each in Register}) == len(Register.__members__)


def test_magic_and_vendors_are_texts() -> None:
    numbers = (registers.MAGIC, registers.VENDOR_LKVM, registers.VENDOR_RSLV)
    assert [each.to_bytes(4, "little") for each in numbers] == [b"virt", b"LKVM", b"RSLV"]
