# SPDX-License-Identifier: BSD-3-Clause
"""What tests in the board expect of calls, and do to the link behind rslctl's back."""

from __future__ import annotations

import mmap
import os
import select
import subprocess
import time
from pathlib import Path

import pytest
from periphery import MMIO
from rslctl.linux import mbox
from rslctl.linux.host import Host

#: Whether what is done many times is done fewer times: a test on one kernel does all of it.
BRIEF = bool(os.environ.get("BRIEF"))

#: PREEMPT_RT, where each interrupt's handler is a thread.
REAL_TIME = Path("/sys/kernel/realtime").exists()

#: What begins a virtio-mmio header: "virt".
VIRTIO_MAGIC = 0x74726976

#: The board whose link the tests use, and the link's name.
BOARD = os.environ.get("RSL_TEST_BOARD", "qemu-virt")
LINK = "vm0" if BOARD == "ivshmem" else "rpu0"
#: The size of its shared memory in bytes.
MEMORY_SIZE = 0x3F0000 if BOARD == "ivshmem" else 0x1000000

#: Of the kernel with checkers only.
KMEMLEAK = Path("/sys/kernel/debug/kmemleak")


def raises(number: int) -> pytest.RaisesExc[OSError]:
    """Expect an OSError with this errno."""
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def readable(fd: int, timeout: float = 10) -> bool:
    """Whether *fd* is readable within *timeout* seconds."""
    return bool(select.select([fd], [], [], timeout)[0])


def _device() -> Path:
    """The directory of the device that the link's driver is bound to."""
    return Path(mbox.CLASS, mbox.pick(Host(), LINK).device, "device").resolve()


def device_name() -> str:
    """The name of the device that the link's driver is bound to."""
    return _device().name


def driver() -> Path:
    """The directory of the driver that the link's device is bound to."""
    return (_device() / "driver").resolve()


def unbind() -> None:
    (driver() / "unbind").write_text(device_name())


def header(name: str) -> int:
    """The first word in the shared memory of a link; who only reads does not count as a daemon."""
    link = mbox.pick(Host(), name)
    with (
        open(link.node, "rb", buffering=0) as node,
        mmap.mmap(node.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ) as memory,
    ):
        return int.from_bytes(memory[:4], "little")


def set_header(name: str, value: int) -> None:
    """Set it."""
    memory = MMIO(0, mmap.PAGESIZE, path=mbox.pick(Host(), name).node)
    memory.write32(0, value)
    memory.close()


def forget_leaks() -> None:
    """Have :func:`leaks` tell of what is lost from here on."""
    subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=False)
    if KMEMLEAK.exists():
        KMEMLEAK.write_text("clear")


def leaks() -> str:
    """What the kernel lost, as it reports it; nothing on a kernel that does not look."""
    if not KMEMLEAK.exists():
        return ""
    # Twice: what is young or has just changed is told at the next scan.
    for _ in range(2):
        KMEMLEAK.write_text("scan")
        time.sleep(6)
    return KMEMLEAK.read_text()
