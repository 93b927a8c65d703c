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
from rslctl.linux import fd_passing
from rslctl.profile import virtio

PROXY = "/guest/bin/proxy"


def main() -> None:
    pause, *command = sys.argv[1:]
    given = {name: number for number, name in enumerate(fd_passing.given(), fd_passing.START)}
    with open(given.pop(manifest.NAME), closefd=False) as file:
        document = json.load(file)
    device = given.pop("mbox")
    rings = {
        f"{ring}{n}": os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
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
    descriptors = {**link, **given}
    fd_passing.place([*descriptors.values()])
    os.execvpe(command[0], command, os.environ | fd_passing.announcement(descriptors))


if __name__ == "__main__":
    main()
