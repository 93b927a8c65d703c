# SPDX-License-Identifier: BSD-3-Clause
"""Two virtual machines with links between them, for "make check-vm".

- trips: round trips that the daemon leads, and as many that the remote leads; the counters of both
  sides add up.
- storm: the remote kicks without an end, while the daemon uses their second link.
- returns: the remote dies and comes back, several times.
- tests: one machine, with what holds for every link: tests/guest/test_ivshmem.py. The remote is
  ivshmem_remote.py.
- vsock: the daemon's kernel serves a vsock device by "rslctl virtio". A program of the other
  machine drives it, tests/guest/vsock_echo.c: round trips, and bytes back and forth.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.amp import ivshmem, qemu
from tests.amp.build import Board
from tests.amp.qemu import Outcome

#: Of each machine: a scenario, the role and a number follow.
PROGRAM = "cd / && PYTHONPATH=/guest python3 -m tests.guest.two_machines"
TESTS = (
    "BRIEF=1 python3 -m pytest -p no:cacheprovider -q --tb=short /guest/tests/guest/test_ivshmem.py"
)

#: The scenarios, and how often each does its thing.
SCENARIOS = {"trips": 100_000, "storm": 1, "returns": 3, "tests": 1, "vsock": 1000}

#: The kernels of the machines. What is done many times depends little on the architecture.
KERNELS = ("6.1", "6.1-amd64")


def count(kernel: str, scenario: str) -> int:
    """How often a scenario does its thing on a kernel."""
    times = SCENARIOS[scenario]
    return times if kernel == KERNELS[0] else min(times, 10_000)


def run(board: Board, scenario: str, times: int, timeout: float = 3600) -> list[Outcome]:
    """Run a scenario with two machines as *board*; their outcomes, the daemon's first."""
    if scenario == "tests":
        return [qemu.boot(replace(board, ivshmem=True), TESTS, timeout=timeout)]
    commands = [f"{PROGRAM} {scenario} {role} {times}" for role in ("daemon", "remote")]
    if scenario != "returns":
        links = 1 if scenario == "vsock" else 2
        return qemu.boot_linked(board, commands, timeout=timeout, links=links)
    with ivshmem.served(remote=False) as path, ThreadPoolExecutor(1) as pool:
        linked = replace(board, emulator=ivshmem.emulator(path))
        daemon = pool.submit(qemu.boot, linked, commands[0], timeout=timeout)
        lives = [qemu.boot(linked, commands[1], timeout=timeout) for _ in range(times)]
        return [daemon.result(), *lives]
