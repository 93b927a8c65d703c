# SPDX-License-Identifier: BSD-3-Clause
"""Options that commands share, spelled alike, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rslctl.errors import UsageError
from rslctl.host import Host


def _seconds(value: float | None) -> float | None:
    if value is not None and not 0 <= value < 1e9:
        raise typer.BadParameter(f"{value} is not a number of seconds from 0 on")
    return value


BoardOption = Annotated[
    str, typer.Option("--board", metavar="NAME|FILE.toml", help="Board, or the file of a profile.")
]
LinkOption = Annotated[
    str | None,
    typer.Option("--link", metavar="NAME", help="Link; may be left out where there is one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
]
RootOption = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="Where the machine's files hang.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds to wait at most.", callback=_seconds),
]

#: The default of --root.
ROOT = Path("/")


def host(root: Path) -> Host:
    """The machine below *root*.

    Raises:
        UsageError: *root* is not a directory.
    """
    if not root.is_dir():
        raise UsageError(f"--root: '{root}' is not a directory")
    return Host(root.resolve())


def print_json(document: Any) -> None:
    """Print a result as the one document on stdout."""
    print(json.dumps(document, indent=2))


def note(text: str) -> None:
    """Tell something that is not a result."""
    print(f"rslctl: {text}", file=sys.stderr, flush=True)
