# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rslctl import broker, offer
from rslctl.commands.options import (
    ROOT,
    EventfdOption,
    LinkOption,
    RootOption,
    VerboseOption,
    host,
    note,
)


def serve(
    link: LinkOption = None,
    socket: Annotated[
        Path | None,
        typer.Option("--socket", metavar="PATH", help="Instead of /run/rsl/LINK.sock."),
    ] = None,
    eventfd: EventfdOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Give a link's descriptors to daemons that others start, and that connect to a socket.

    Who may have them is the profile's to say, in the table link.access; otherwise the group
    "rsl" may. Runs until SIGTERM or SIGINT.

    Example: rslctl serve --link rpu0
    """
    machine = host(root)
    source = offer.Source(machine, link, eventfds=eventfd)
    name = source.device.name
    access = source.profile.access if source.profile else None
    served = broker.Broker(name, broker.policy(access), source, note if verbose else _silent, note)
    path = socket or machine.path(f"{broker.DIRECTORY}/{name}.sock")
    with broker.listening(path) as listener:
        note(f"serving link {name} at {listener.getsockname()}")
        broker.serve(served, listener)


def _silent(_: str) -> None:
    pass
