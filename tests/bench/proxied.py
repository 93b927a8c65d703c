# SPDX-License-Identifier: BSD-3-Clause
"""Has a process in the path of a link: python3 -m tests.bench.proxied MICROSECONDS COMMAND...

It is given a link by ``rslctl run``, keeps the link's device for tests/bench/proxy.c, and becomes
COMMAND, to which it gives the link as eventfds of the proxy. COMMAND is ``rslctl virtio`` with one
device, the last word, of version 2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from rslctl.daemon import manifest
from rslctl.profile import virtio

PROXY = "/guest/bin/proxy"
FIRST = 3


def main() -> None:
    pause, *command = sys.argv[1:]
    names = os.environ["LISTEN_FDNAMES"].split(":")
    given = dict(zip(names, range(FIRST, FIRST + len(names)), strict=True))
    with open(given.pop(manifest.NAME), closefd=False) as file:
        document = json.load(file)
    device = given.pop("mbox")
    rings = {
        f"{ring}{n}": os.eventfd(0, os.EFD_NONBLOCK)
        for ring in ("notify", "kick")
        for n in range(document["vectors"])
    }
    devices = virtio.arrange((command[-1],), device_tree=False, version=2)
    own = virtio.vectors(devices, document["vectors"])[0][:2]
    memory = given["shmem"]
    subprocess.Popen(
        [PROXY, pause, *map(str, (device, memory, document["memory"]["base"], *own))]
        + [str(each) for each in rings.values()],
        pass_fds=(device, memory, *rings.values()),
    )
    link = {"shmem": given.pop("shmem"), **rings}
    document["descriptors"] = [*link, manifest.NAME]
    link[manifest.NAME] = manifest.sealed(manifest.encode(document))
    become({**link, **given}, command)


def become(descriptors: dict[str, int], command: list[str]) -> None:
    """Become *command*, with *descriptors* as sd_listen_fds(3) has them."""
    # Out of the way of the numbers that they get.
    above = [os.dup2(fd, 100 + number) for number, fd in enumerate(descriptors.values())]
    for number, fd in enumerate(above):
        os.dup2(fd, FIRST + number)
    os.closerange(FIRST + len(above), 200)
    count, listed = len(above), ":".join(descriptors)
    environment = {"LISTEN_PID": os.getpid(), "LISTEN_FDS": count, "LISTEN_FDNAMES": listed}
    os.execvpe(
        command[0],
        command,
        os.environ | {name: str(value) for name, value in environment.items()},
    )


if __name__ == "__main__":
    main()
