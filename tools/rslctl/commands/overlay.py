# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl overlay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rslctl import board as boards
from rslctl import overlay as overlays
from rslctl.commands.options import BoardOption, note
from rslctl.errors import UsageError, os_error


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
    merge: Annotated[
        Path | None,
        typer.Option("--merge", metavar="FILE.dtb", help="Write the base with it applied."),
    ] = None,
) -> None:
    """Make the device tree overlay of a board; its source goes to stdout.

    Example: rslctl overlay --board qemu-virt --base virt.dtb --merge merged.dtb
    """
    if merge and not base:
        raise UsageError("--merge needs --base", hint="--base FILE.dtb is what to merge into")
    if output and output.suffix not in (".dtso", ".dtbo"):
        raise UsageError(f"-o: '{output}' has to end in .dtso or .dtbo")
    made = overlays.build(boards.load(board))
    blob = overlays.read_base(base) if base else None
    if blob is not None:
        overlays.check_base(made, blob, str(base))
    if output:
        binary = output.suffix == ".dtbo"
        _write(output, overlays.to_blob(made) if binary else overlays.to_source(made).encode())
    if merge and blob is not None:
        _write(merge, overlays.merge(made, blob, str(base)))
    if not output and not merge:
        sys.stdout.write(overlays.to_source(made))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise os_error(f"write '{path}'", error) from error
    note(f"wrote {path}")
