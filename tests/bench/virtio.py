# SPDX-License-Identifier: BSD-3-Clause
"""Measures "rslctl virtio" against the same with a process in the path, in the emulated board.

python3 -m tests.bench.virtio ROUNDS TRIPS BYTES: the contenders take turns in each round. The
result is on one line between two markers, as tests/bench/virtio_figures.py has it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from tests.bench import figures, virtio_figures
from tests.guest import virtio

THROUGH = "/guest/bin/through"

#: What becomes the daemon. The proxy of tests/bench/proxy.c, and the same with the pause of the
#: RSL daemon.
PROXIED = ("python3", "-m", "tests.bench.proxied")
CONTENDERS: dict[str, tuple[str, ...]] = {
    "direct": (),
    "proxy": (*PROXIED, "0"),
    "pausing": (*PROXIED, "1000"),
}
#: A device and its peer for tests/bench/through.c.
DEVICES = {
    "vsock": (virtio.OUTSIDE[0], str(virtio.CID)),
    "net": (virtio.OUTSIDE[1], virtio.REMOTE_ADDRESS),
}


def measure(rounds: int, trips: int, size: int) -> dict[str, Any]:
    """Measure all of it."""
    order: list[str] = []
    taken: list[dict[str, float]] = []
    with contextlib.ExitStack() as stack:
        link = virtio.set_up(2, stack)
        driver = virtio.Driver(link)
        stack.callback(driver.close)
        for number in range(rounds):
            turns = [(device, name) for device in DEVICES for name in CONTENDERS]
            for device, name in turns if number % 2 else reversed(turns):
                word, peer = DEVICES[device]
                daemon = virtio.Daemon(link, driver, [word], through=CONTENDERS[name])
                daemon.start()
                command = [THROUGH, device, peer, str(trips), str(size)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                daemon.stop()
                found = figures.parse(done.stdout)
                order.append(f"{device}-{name}")
                taken.append({part: found[part][0] for part in virtio_figures.PARTS})
            print(f"round {number + 1} of {rounds}", flush=True)
    document = {
        "rounds": rounds,
        "trips": trips,
        "bytes": size,
        "kernel": os.uname().release,
        "order": order,
    }
    return virtio_figures.complete(document, taken, "ns", counted=False)


def main() -> None:
    document = measure(*map(int, sys.argv[1:] or ["1", "50", "20000"]))
    print(virtio_figures.table(document))
    print(f"{figures.BEGIN}\n{json.dumps(document)}\n{figures.END}")


if __name__ == "__main__":
    main()
