# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl run``."""

from __future__ import annotations

from typing import Annotated

import typer

from rslctl import handoff, legacy, mbox
from rslctl.commands.options import ROOT, DryRunOption, LinkOption, RootOption, host


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="The daemon.")
    ],
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="USER", help="Run it as this user, without capabilities."),
    ] = None,
    as_legacy: Annotated[
        bool,
        typer.Option(
            "--legacy",
            help="Show it the link as /dev/uio0 and /dev/umb, and pass nothing; "
            "{shmem_addr} and {shmem_size} in COMMAND are filled in.",
        ),
    ] = False,
    link: LinkOption = None,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Become a daemon that has the descriptors of a link.

    Descriptor 3, "shmem", is there to be mapped; descriptor 4, "mbox", to be polled,
    read and written. LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES tell, as systemd does.

    Example: rslctl run --user nobody -- /usr/bin/my-daemon --verbose

    Example: rslctl run --legacy -- lkvm run --rsld --pmm --shmem-addr {shmem_addr} ...
    """
    machine = host(root)
    device = mbox.pick(machine, link)
    who = handoff.user(user) if user else None
    if as_legacy:
        command = legacy.fill_in(command, device)
    if dry_run:
        program = handoff.find_program(command)
        as_whom = f"user {who.name} without capabilities" if who else "the calling user"
        print(f"{device.name}: would execute {program} as {as_whom}")
        if as_legacy:
            for line in legacy.describe(machine, device, command):
                print(f"{device.name}: {line}")
        return
    if as_legacy:
        legacy.execute(machine, device, command, who)
    handoff.execute(machine, device, command, who)
