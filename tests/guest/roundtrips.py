# SPDX-License-Identifier: BSD-3-Clause
"""A daemon for "rslctl run": round trips with the remote, over descriptors alone.

rslctl run --user nobody -- python3 roundtrips.py 1000
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import sys
import time

from rslctl.uapi import INFO, IOC_INFO, MASK

CONTROL_SIZE = 4096
MAGIC = b"RREM"


def main() -> None:
    count = int(sys.argv[1])
    if os.environ["LISTEN_PID"] != str(os.getpid()):
        sys.exit("LISTEN_PID is not this process")
    names = os.environ["LISTEN_FDNAMES"].split(":")
    fds = {name: 3 + at for at, name in enumerate(names)}
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    uid, capabilities = os.getuid(), status["CapEff"].strip()
    print(f"daemon: uid {uid}, CapEff {capabilities}, NoNewPrivs {status['NoNewPrivs'].strip()}")
    if int(capabilities, 16):
        sys.exit("this daemon has capabilities")

    info = INFO.unpack(fcntl.ioctl(fds["mbox"], IOC_INFO, bytes(INFO.size)))
    vectors, size = info[2], info[5]
    with mmap.mmap(fds["shmem"], size) as memory:
        if memory[size - CONTROL_SIZE :][:4] != MAGIC:
            sys.exit("the remote is not there: its magic is not in the shared memory")
        start = time.monotonic()
        round_trips(fds["mbox"], vectors, count)
        took = time.monotonic() - start
    print(f"daemon: {count} round trips on {vectors} vectors, {took / count * 1e6:.0f} us each")


def round_trips(fd: int, vectors: int, count: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    for number in range(count):
        mask = 1 << number % vectors
        os.write(fd, MASK.pack(mask))
        if not poll.poll(10_000):
            sys.exit(f"kick {number} was not answered")
        (notified,) = MASK.unpack(os.read(fd, MASK.size))
        if notified != mask:
            sys.exit(f"kick {number} of vectors {mask:#x} was answered on {notified:#x}")


main()
