# SPDX-License-Identifier: BSD-3-Clause
"""Measures rsl_mbox against what users would take instead, in the emulated board.

python3 -m tests.bench.board [ROUNDS [SAMPLES [NS-PER-INSTRUCTION]]]

The contenders take turns in each round: the same platform device with rsl_mbox and with
uio_pdrv_genirq, the same simulated mailbox with rsl_mbox and with rsl_mbox_deferring. At the
end the result is on one line between two markers. With the third argument the emulator's
clock counts instructions, and the figures do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.bench import figures
from tests.guest.remote import Remote

BIN = Path("/guest/bin")
DEVICES = Path("/sys/bus/platform/devices")
DRIVERS = Path("/sys/bus/platform/drivers")
MODULES = ("uio_pdrv_genirq", "rsl_mbox_sim", "rsl_mbox", "rsl_mbox_deferring")

#: A link with a doorbell, its memory, and links over simulated mailboxes: 32 vectors, 1 vector.
DOORBELL, MEMORY, MAILBOX, MAILBOX_1 = "8020040.rsl-mbox", "70000000.shmem", "mhu", "bell"

#: The link, its vectors, and how many of them a message notifies.
FLOODS = {
    "flood-1": (MAILBOX_1, 1, 1),
    "flood-32": (MAILBOX, 32, 1),
    "flood-32-at-once": (MAILBOX, 32, 32),
}


@contextlib.contextmanager
def modules() -> Iterator[None]:
    for name in MODULES:
        subprocess.run(["modprobe", name], check=True)
    yield
    for name in reversed(MODULES):
        subprocess.run(["modprobe", "-r", name], check=True)


@contextlib.contextmanager
def bound(device: str, driver: str) -> Iterator[None]:
    """Have a driver take a device for a while, from whoever has it."""
    place = DEVICES / device
    before = (place / "driver").resolve().name if (place / "driver").exists() else None
    if before:
        (place / "driver/unbind").write_text(device)
    (place / "driver_override").write_text(driver)
    (DRIVERS / driver / "bind").write_text(device)
    try:
        yield
    finally:
        (place / "driver/unbind").write_text(device)
        (place / "driver_override").write_text("\n")
        if before:
            (DRIVERS / before / "bind").write_text(device)


@contextlib.contextmanager
def storm() -> Iterator[None]:
    """Have the remote notify the board's link as fast as it can. Its vector is armed, and read
    50 times a second.
    """
    link = mbox.pick(Host(), "rpu0")
    remote = Remote(link)
    fd = os.open(link.node, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, uapi.IOC_MASK, uapi.MASKING.pack(1, uapi.DO_ONESHOT, 0))
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.02):
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 4)

    reader = threading.Thread(target=read)
    reader.start()
    remote.flood(1, 1 << 31, 0)
    try:
        yield
    finally:
        remote.flood(0, 0, 0)
        over.set()
        reader.join()
        os.close(fd)
        remote.close()


def node(device: str, kind: str) -> str:
    """The character device that a driver made for a device."""
    (name,) = os.listdir(DEVICES / device / kind)
    return f"/dev/{name}"


def simulated(link: str) -> str:
    """The simulator's side of a link over a simulated mailbox."""
    return f"/dev/rsl_mbox_sim-sim-{link}"


def run(program: str, *arguments: str | int) -> dict[str, list[float]]:
    command = [str(BIN / program), *map(str, arguments)]
    return figures.parse(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    )


class Bench:
    """What is measured, round by round."""

    def __init__(self, samples: int, scale: float) -> None:
        self.samples = samples
        self.measured: figures.Measured = {}
        self.messages: dict[str, dict[str, list[float]]] = {}
        self.per_read: dict[str, list[float]] = {}
        self._scale = scale
        values = (DEVICES / DOORBELL / "of_node/rsl,kick-values").read_bytes()
        self._kick_value = int.from_bytes(values[:4], "big")

    def _add(self, contender: str, samples: dict[str, list[float]]) -> None:
        scaled = {name: [each * self._scale for each in samples[name]] for name in samples}
        figures.add(self.measured, contender, scaled)

    def _wake(self, contender: str) -> None:
        numbers = (node(MEMORY, "uio"), self._kick_value, self.samples)
        driver = "uio_pdrv_genirq" if contender == "uio" else "rsl_mbox_doorbell"
        with bound(DOORBELL, driver):
            kind = "uio" if contender == "uio" else "rsl_mbox"
            self._add(contender, run("wake", contender, node(DOORBELL, kind), *numbers))

    def _copy(self, contender: str) -> None:
        memory = node(MEMORY, "uio") if contender == "uio" else node(DOORBELL, "rsl_mbox")
        self._add(contender, run("copy", memory, self.samples))

    def _mailbox(self, contender: str) -> None:
        driver = "rsl_mbox_deferring" if contender == "deferring" else "rsl_mbox_mailbox"
        with bound(f"link-{MAILBOX}", driver), contextlib.ExitStack() as around:
            device = "/dev/rsl_mbox_deferring"
            if contender != "deferring":
                device = node(f"link-{MAILBOX}", "rsl_mbox")
            if contender == "storm":
                around.enter_context(storm())
            got = run("mailbox", device, simulated(MAILBOX), self.samples)
        self._add(contender, {"wake": got["wake"]})
        if contender == "storm":
            return
        for name in ("sent", "lost"):
            self.messages.setdefault(contender, {}).setdefault(name, []).append(got[name][0])

    def _flood(self, contender: str) -> None:
        link, *numbers = FLOODS[contender]
        device = node(f"link-{link}", "rsl_mbox")
        got = run("flood", device, simulated(link), *numbers, self.samples)
        self._add(contender, {"cost": got["cost"]})
        per_read = got["taken"][0] / got["reads"][0]
        self.per_read.setdefault(contender, []).append(per_read)

    def round(self, number: int) -> None:
        """Every contender once; who begins changes."""
        turns = [
            *((self._wake, name) for name in ("uio", "chardev", "eventfd")),
            *((self._copy, name) for name in ("uio", "chardev")),
            *((self._mailbox, name) for name in ("deferring", "mbox", "storm")),
            *((self._flood, name) for name in FLOODS),
        ]
        for measure, contender in turns if number % 2 else reversed(turns):
            measure(contender)


def measure(rounds: int, samples: int, ns_per_instruction: int = 0) -> dict[str, Any]:
    """Measure all of it; the modules are gone afterwards."""
    with modules(), bound(MEMORY, "uio_pdrv_genirq"):
        bench = Bench(samples, 1 / (ns_per_instruction or 1))
        for number in range(rounds):
            bench.round(number)
            print(f"round {number + 1} of {rounds}", flush=True)
    figures.without_register(bench.measured)
    return {
        "unit": "instructions" if ns_per_instruction else "ns",
        "rounds": rounds,
        "samples": samples,
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "ratios": figures.ratios(bench.measured),
        "messages": bench.messages,
        "per_read": bench.per_read,
        "measured": bench.measured,
    }


def main() -> None:
    document = measure(*map(int, sys.argv[1:] or ["5", "500"]))
    print(figures.table(document))
    print(f"{figures.BEGIN}\n{json.dumps(document)}\n{figures.END}")


if __name__ == "__main__":
    main()
