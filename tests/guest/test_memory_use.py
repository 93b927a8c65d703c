# SPDX-License-Identifier: BSD-3-Clause
"""What the memory of a link can be used for, and what not: docs/explanation/memory.md."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from pathlib import Path

from rslctl.linux import mbox

PROGRAM = "/guest/bin/memory_use"

#: What the kernel says to each use of the memory; of ordinary memory it is 0.
EXPECTED = {
    "read": 0,
    "write": 0,
    "send": 0,
    "zerocopy": -errno.EFAULT,
    "vmsplice": -errno.EFAULT,
    "io_uring": -errno.EFAULT,
    "process_vm_readv": -errno.EFAULT,
    "process_vm_writev": -errno.EFAULT,
    "proc_mem": 0,
    "futex": -errno.EFAULT,
    "private_futex": 0,
    "mlock": 0,
    "locked": -1,
    "dodump": -errno.EINVAL,
}
#: With LimitMEMLOCK of half the memory, and no CAP_IPC_LOCK.
LIMITED = {
    "lock_then_map": -errno.EAGAIN,
    "map_then_lock": -errno.ENOMEM,
    "map_then_lock_future": 0,
}


def test_the_memory_can_be_used_as_the_document_says(link: mbox.LinkDevice) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    done = subprocess.run([PROGRAM, link.node], stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    print(lines)
    ordinary = {name: int(numbers[0]) for name, *numbers in lines if len(numbers) == 2}
    memory = {name: int(numbers[1]) for name, *numbers in lines if len(numbers) == 2}
    limited = {name: int(numbers[0]) for name, *numbers in lines if len(numbers) == 1}
    assert ordinary == dict.fromkeys(EXPECTED, 0)
    assert (memory, limited) == (EXPECTED, LIMITED)


def test_a_core_dump_leaves_the_memory_out(link: mbox.LinkDevice, tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    pattern.write_text(f"{tmp_path}/core")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        done = subprocess.run(
            [PROGRAM, link.node, "dump"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, unlimited),
            check=False,
        )
    finally:
        pattern.write_text(before)
    assert done.returncode == -signal.SIGABRT
    (core,) = (name for name in os.listdir(tmp_path) if name.startswith("core"))
    data = (tmp_path / core).read_bytes()
    assert data.count(b"o" * 4096) >= link.memory_size // 4096
    assert b"m" * 4096 not in data
