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
        WaitOption,
    )


def kick(
    vector: VectorArgument,
    link: LinkOption = None,
    wait: WaitOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Notify the remote on a vector.

    Exit status 4: with --wait, the remote did not notify the same vector in time.

    Example: rslctl kick 3 --wait 5
    """
    machine = host(root)
    device = mbox.pick(machine, link)
    mask = device.vector(vector)
    kickable.check_running(machine, device.name)
    # Open before the kick, so that no answer is missed.
    answers = None
    if wait is not None and not dry_run:
        answers = mbox.Mailbox(machine, device, flags=os.O_RDONLY)
    if not dry_run:
        with mbox.Mailbox(machine, device, flags=os.O_WRONLY) as mailbox:
            mailbox.kick(mask)
    if not json:
        done = "would kick" if dry_run else "kicked"
        print(f"{device.name}: {done} vector {vector}", flush=True)
    if answers:
        with answers:
            answers.wait(mask, wait)
    if json:
        kicked, notified = not dry_run, True if answers else None
        print_json({"link": device.name, "vector": vector, "kicked": kicked, "notified": notified})
    elif answers:
        print(f"{device.name}: notified on vector {vector}")
