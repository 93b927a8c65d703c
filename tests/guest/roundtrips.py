# SPDX-License-Identifier: BSD-3-Clause
"""A daemon for "rslctl run": round trips with the remote, over descriptors alone.

rslctl run --user nobody -- python3 roundtrips.py 1000 [--stay]

With --stay it then tells that it is ready, and goes on as daemons do.
"""

from __future__ import annotations

import os
import sys
import time

from rslctl import client

CONTROL_SIZE = 4096
MAGIC = b"RREM"


def main() -> None:
    count = int(sys.argv[1])
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    uid, capabilities = os.getuid(), status["CapEff"].strip()
    print(f"daemon: uid {uid}, CapEff {capabilities}, NoNewPrivs {status['NoNewPrivs'].strip()}")
    if int(capabilities, 16):
        sys.exit("this daemon has capabilities")
    with client.receive() as link:
        if link.memory[-CONTROL_SIZE:][:4] != MAGIC:
            sys.exit("the remote is not there: its magic is not in the shared memory")
        start = time.monotonic()
        for number in range(count):
            vector = number % link.vectors
            link.kick(vector)
            notified = link.wait(timeout=10)
            if notified != [vector]:
                sys.exit(f"kick {number} of vector {vector} was answered on {notified}")
        took = time.monotonic() - start
        each = f"{took / count * 1e6:.0f} us each"
        print(f"daemon: {count} round trips on {link.vectors} vectors, {each}", flush=True)
        if "--stay" in sys.argv:
            link.ready()
            while True:
                link.wait()


main()
