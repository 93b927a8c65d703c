# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl wait``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rslctl import mbox
from rslctl.commands.options import (
    ROOT,
    JsonOption,
    LinkOption,
    RootOption,
    TimeoutOption,
    host,
    note,
    print_json,
)


def wait(
    vector: Annotated[
        int | None, typer.Argument(metavar="[VECTOR]", help="Vector; any where left out.")
    ] = None,
    timeout: TimeoutOption = None,
    link: LinkOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Wait for a notification of the remote that comes from now on.

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
