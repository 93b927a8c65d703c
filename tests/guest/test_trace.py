# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel's own tracing sees of the module: its tracepoints, and from where it signals."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote
from tests.guest.support import REAL_TIME
from tests.guest.test_mailbox import MESSAGE

TRACING = Path("/sys/kernel/tracing")

#: Memory types of Linux for arm64, arch/arm64/include/asm/memory.h: MT_NORMAL, MT_NORMAL_NC.
CACHED, WRITE_COMBINED = 0, 2


@pytest.fixture
def tracing() -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)
    (TRACING / "trace").write_text("")
    yield TRACING
    (TRACING / "events/enable").write_text("0")
    (TRACING / "kprobe_events").write_text("")
    subprocess.run(["umount", TRACING], check=True)


def probe(*definitions: str) -> None:
    """Have functions of the kernel traced as event "probed"."""
    lines = [f"p:rsl/probed {each}\n" for each in definitions]
    (TRACING / "kprobe_events").write_text("".join(lines))
    (TRACING / "events/rsl/probed/enable").write_text("1")


def events() -> list[tuple[str, str, str]]:
    """The traced events: flags, name and text."""
    return [(flags, name, text) for _, flags, name, text in _lines()]


def in_hardirq(flags: str) -> bool:
    """Whether an event was in hard interrupt context.

    The flag is h, or H where the interrupt came in a softirq (Linux,
    Documentation/trace/ftrace.rst).
    """
    return "h" in flags.lower()


def handlers() -> list[bool]:
    """Of each traced event, whether an interrupt's handler caused it.

    On PREEMPT_RT that is a thread.
    """
    return [
        task.startswith("irq/") if REAL_TIME else in_hardirq(flags) for task, flags, *_ in _lines()
    ]


def _lines() -> list[tuple[str, str, str, str]]:
    return re.findall(
        r"^ *(\S+)-\d+ +\[\d+\] +(\S+) +[\d.]+: (\w+): (.*)$",
        (TRACING / "trace").read_text(),
        re.MULTILINE,
    )


def test_kicks_and_notifications_are_traced(link: mbox.LinkDevice, tracing: Path) -> None:
    (tracing / "events/rsl_mbox/enable").write_text("1")
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(0b101)
        seen = 0
        while seen != 0b101:
            seen |= mailbox.wait(0b101, 10)
    (tracing / "events/rsl_mbox/enable").write_text("0")
    found = events()
    kicks = [text for _, name, text in found if name == "rsl_mbox_kick"]
    assert kicks == [f"{link.device} mask=0x5 coalesced=0x0"]
    notifications = sorted(text for _, name, text in found if name == "rsl_mbox_notify")
    assert notifications == [f"{link.device} mask=0x1", f"{link.device} mask=0x4"]


def test_an_eventfd_is_signalled_in_the_handler_of_the_interrupt(
    link: mbox.LinkDevice, tracing: Path
) -> None:
    # One of the two is a function of its own, depending on the kernel.
    symbols = Path("/proc/kallsyms").read_text()
    exists = re.search(r" T eventfd_signal$", symbols, re.MULTILINE)
    probe("eventfd_signal" if exists else "eventfd_signal_mask")
    fd = os.open(link.node, os.O_RDWR)
    eventfd = os.eventfd(0)
    fcntl.ioctl(fd, uapi.IOC_BIND, uapi.BINDING.pack(2, uapi.NOTIFY, eventfd, 0))
    for _ in range(20):
        os.write(fd, uapi.MASK.pack(1 << 2))
        assert select.select([eventfd], [], [], 10)[0]
        assert os.eventfd_read(eventfd) == 1
    os.close(eventfd)
    os.close(fd)
    assert [name for _, name, _ in events()] == ["probed"] * 20
    assert handlers() == [True] * 20, events()


def test_what_was_received_is_acknowledged_before_anybody_is_told(tracing: Path) -> None:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    Remote.until(lambda: "ipi1" in {link.name for link in mbox.find(Host())}, "no link ipi1")
    (tracing / "events/rsl_mbox/rsl_mbox_notify/enable").write_text("1")
    probe("mbox_send_message")
    sim = os.open("/dev/rsl_mbox_sim-sim-ipi1", os.O_RDWR)
    for _ in range(3):
        os.write(sim, MESSAGE.pack(1, 1, 0))
    os.close(sim)
    assert [name for _, name, _ in events()] == ["probed", "rsl_mbox_notify"] * 3
    (tracing / "events/enable").write_text("0")
    (tracing / "kprobe_events").write_text("")
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)


def cached(link: mbox.LinkDevice) -> bool:
    """Whether the link says that its memory is mapped cached."""
    fd = os.open(link.node, os.O_RDWR)
    info = uapi.INFO.unpack(fcntl.ioctl(fd, uapi.IOC_INFO, bytes(uapi.INFO.size)))
    os.close(fd)
    return bool(info[0] & uapi.FEATURE_CACHED)


def memory_types(link: mbox.LinkDevice) -> set[int]:
    """The memory types that a mapping of the link's memory gets in the page table."""
    # AAPCS64: the fifth argument, prot, is in x4; AttrIndx is bits 4 to 2 of an entry.
    probe("remap_pfn_range prot=%x4:x64")
    fd = os.open(link.node, os.O_RDWR)
    mmap.mmap(fd, mmap.PAGESIZE).close()
    os.close(fd)
    texts = [text for _, name, text in events() if name == "probed"]
    assert texts
    return {int(text.rpartition("prot=")[2], 16) >> 2 & 0b111 for text in texts}


def test_shared_memory_is_mapped_write_combined(link: mbox.LinkDevice, tracing: Path) -> None:
    assert not cached(link)
    assert memory_types(link) == {WRITE_COMBINED}


def test_shared_memory_of_a_coherent_remote_is_mapped_cached(tracing: Path) -> None:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    Remote.until(lambda: "bell" in {link.name for link in mbox.find(Host())}, "no link bell")
    link = mbox.pick(Host(), "bell")
    assert cached(link)
    assert memory_types(link) == {CACHED}
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)
