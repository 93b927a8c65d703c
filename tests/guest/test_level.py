# SPDX-License-Identifier: BSD-3-Clause
"""The doorbell transport with a level interrupt and status, clear and enable registers."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from periphery import MMIO
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

DRIVER = Path("/sys/bus/platform/drivers/rsl_mbox_doorbell")


@pytest.fixture
def link() -> Iterator[mbox.LinkDevice]:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    yield mbox.pick(Host(), "level")
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)


def round_trips(link: mbox.LinkDevice, count: int) -> None:
    with mbox.Mailbox(Host(), link) as mailbox:
        for number in range(count):
            mask = 1 << number % link.vectors
            mailbox.kick(mask)
            assert mailbox.wait(0xF, 10) == mask


def test_each_kick_is_one_interrupt_that_is_cleared(link: mbox.LinkDevice) -> None:
    before = mbox.counters(Host(), link)
    round_trips(link, 2000)
    after = mbox.counters(Host(), link)
    # An interrupt that is not cleared would come again and again.
    assert [each.notifications for each in after] == [each.notifications + 500 for each in before]


def test_several_vectors_share_the_interrupt(link: mbox.LinkDevice) -> None:
    fd = os.open(link.node, os.O_RDWR)
    for _ in range(500):
        os.write(fd, uapi.MASK.pack(0b1111))
        seen = 0
        while seen != 0b1111:
            assert select.select([fd], [], [], 10)[0], f"only {seen:#x} came"
            seen |= uapi.MASK.unpack(os.read(fd, 4))[0]
    os.close(fd)


def test_the_link_works_after_it_was_unbound(link: mbox.LinkDevice) -> None:
    for _ in range(20):
        (device,) = [
            path.name for path in DRIVER.iterdir() if (path / f"rsl_mbox/{link.device}").exists()
        ]
        (DRIVER / "unbind").write_text(device)
        (DRIVER / "bind").write_text(device)
        link = mbox.pick(Host(), "level")
    round_trips(link, 20)


#: The PL061 of QEMU's virt machine and its interrupt enable register, GPIOIE.
PL061, ENABLE = 0x9030000, 0x410


def test_the_block_is_enabled_again_after_it_has_lost_its_power(link: mbox.LinkDevice) -> None:
    with MMIO(PL061, 0x1000) as registers:
        assert registers.read32(ENABLE) != 0
        registers.write32(ENABLE, 0)
        # The kernel suspends all devices and resumes them after five seconds.
        Path("/sys/power/pm_test").write_text("devices")
        Path("/sys/power/state").write_text("freeze")
        assert registers.read32(ENABLE) != 0
    round_trips(link, 20)


def test_a_link_without_shared_memory_cannot_be_mapped(link: mbox.LinkDevice) -> None:
    import mmap

    assert link.memory_size == 0
    fd = os.open(link.node, os.O_RDWR)
    with pytest.raises(OSError, match="No such device"):
        mmap.mmap(fd, mmap.PAGESIZE)
    os.close(fd)
