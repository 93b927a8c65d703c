# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl wait``."""

from __future__ import annotations

import os

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import note, print_json
from rslctl.linux import mbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        AnyVectorArgument,
        JsonOption,
        LinkOption,
        RootOption,
        TimeoutOption,
    )


def wait(
    vector: AnyVectorArgument = None,
    timeout: TimeoutOption = None,
    link: LinkOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Wait for the next notification from the remote.

    Exit status 4: none came within the timeout.

    Example: rslctl wait 3 --timeout 5
    """
    machine = host(root)
    device = mbox.pick(machine, link)
    mask = (1 << device.vectors) - 1 if vector is None else device.vector(vector)
    with mbox.Mailbox(machine, device, flags=os.O_RDONLY) as mailbox:
        what = "any vector" if vector is None else f"vector {vector}"
        note(f"waiting for {what} of link {device.name}")
        vectors = mbox.vectors_of(mailbox.wait(mask, timeout))
    if json:
        print_json({"link": device.name, "vectors": vectors})
    else:
        for notified in vectors:
            print(f"{device.name}: notified on vector {notified}")
