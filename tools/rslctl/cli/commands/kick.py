# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl kick``."""

from __future__ import annotations

import os

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import print_json
from rslctl.linux import mbox
from rslctl.setup import kickable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        DryRunOption,
        JsonOption,
        LinkOption,
        RootOption,
        VectorArgument,
    )


def kick(
    vector: VectorArgument,
    link: LinkOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Notify the remote on a vector.

    Example: rslctl kick 3
    """
    machine = host(root)
    device = mbox.pick(machine, link)
    mask = device.vector(vector)
    kickable.check_running(machine, device.name)
    if not dry_run:
        with mbox.Mailbox(machine, device, flags=os.O_WRONLY) as mailbox:
            mailbox.kick(mask)
    if json:
        print_json({"link": device.name, "vector": vector, "kicked": not dry_run})
    else:
        print(f"{device.name}: {'would kick' if dry_run else 'kicked'} vector {vector}")
