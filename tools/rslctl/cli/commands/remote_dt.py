# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl remote-dt``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rslctl.cli.board import described
from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import BoardOption, LinkOption, RootOption, TransportOption, among, write
from rslctl.cli.output import note
from rslctl.devicetree import remote_dt
from rslctl.errors import RslError, UsageError
from rslctl.linux import mbox


def remote_dt_command(
    board: BoardOption,
    link: LinkOption = None,
    transport: TransportOption = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"One of {', '.join(remote_dt.FORMS)}.",
            autocompletion=among(remote_dt.FORMS),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; its suffix is the format."),
    ] = None,
    place: Annotated[
        bool, typer.Option("--place", help="Put the blob into the link's shared memory.")
    ] = False,
    root: RootOption = ROOT,
) -> None:
    """Write what the remote has to know about a link: memory, virtio headers, vectors, doorbells.

    Example: rslctl remote-dt --board zcu102 -o rpu0.overlay
    """
    profile = described(board, transport, host(root))
    chosen = profile.link(link)
    if place:
        if form or output:
            raise UsageError("--place takes neither --format nor -o: it puts the blob in place")
        blob = remote_dt.render(profile, chosen, "dtb")
        room = chosen.remote_dt
        if room is None:
            raise RslError(
                f"the profile keeps no room for it in link {chosen.name!r}",
                hint="add a table link.remote-dt with offset and size",
            )
        if len(blob) > room.size:
            raise RslError(f"it has {len(blob)} bytes, the profile keeps room for {room.size}")
        machine = host(root)
        mbox.place(machine, mbox.pick(machine, chosen.name), room.base, blob)
        note(f"wrote {len(blob)} bytes to {room.base:#x}")
        return
    data = remote_dt.render(profile, chosen, _form(form, output))
    if output:
        write({output: data})
    else:
        sys.stdout.buffer.write(data)


def _form(form: str | None, output: Path | None) -> str:
    by_suffix = {suffix: name for name, suffix in remote_dt.FORMS.items()}
    found = form or (by_suffix.get(output.suffix) if output else "dts")
    if found not in remote_dt.FORMS:
        what = f"--format: {form!r}" if form else f"-o: '{output}'"
        raise UsageError(
            f"{what} is not one of {', '.join(remote_dt.FORMS)}",
            hint=f"files end in {', '.join(by_suffix)}",
        )
    return found
