# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl overlay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rslctl import devicetree
from rslctl import overlay as overlays
from rslctl.commands.options import (
    ROOT,
    BoardOption,
    RootOption,
    TransportOption,
    chosen,
    host,
    write,
)
from rslctl.errors import UsageError


def overlay(
    board: BoardOption,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="FILE.dtso for source, FILE.dtbo for a blob."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="FILE.dtb", help="Device tree that it has to fit."),
    ] = None,
    transport: TransportOption = None,
    style: Annotated[
        str,
        typer.Option(
            "--style",
            metavar="NAME",
            help="rsl, or user-mailbox for the nodes of the original module and daemon.",
        ),
    ] = overlays.STYLES[0],
    merge: Annotated[
        Path | None,
        typer.Option("--merge", metavar="FILE.dtb", help="Write the base with it applied."),
    ] = None,
    root: RootOption = ROOT,
) -> None:
    """Make the device tree overlay of a board; its source goes to stdout.

    With --base it is checked against that tree, and fits it: by label where the tree has
    labels, else by path and phandle.

    Example: rslctl overlay --board qemu-virt --base virt.dtb --merge merged.dtb
    """
    if merge and not base:
        raise UsageError("--merge needs --base", hint="--base FILE.dtb is what to merge into")
    if output and output.suffix not in (".dtso", ".dtbo"):
        raise UsageError(f"-o: '{output}' has to end in .dtso or .dtbo")
    if style not in overlays.STYLES:
        raise UsageError(f"--style: {style!r} is not one of {', '.join(overlays.STYLES)}")
    profile = chosen(board, transport, host(root).root)
    blob = b""
    if base:
        tree, blob = overlays.read_base(base)
        made = overlays.for_base(profile, style, tree)
    else:
        made = overlays.build(profile, style)
    if output and merge and output.resolve() == merge.resolve():
        raise UsageError(f"-o and --merge are both '{output}'")
    files = {}
    if output:
        binary = output.suffix == ".dtbo"
        data = devicetree.to_blob(made) if binary else devicetree.to_source(made).encode()
        files[output] = data
    if merge:
        files[merge] = overlays.merge(made, blob)
    if files:
        write(files)
    else:
        sys.stdout.write(devicetree.to_source(made))
