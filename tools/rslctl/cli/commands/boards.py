# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl boards``, ``rslctl boards show`` and ``rslctl boards check``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from rslctl.cli.help import SETTINGS, Command, Group
from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import JsonOption, RootOption, board_names
from rslctl.cli.output import print_json
from rslctl.errors import RslError, SeveralError, UsageError
from rslctl.profile import reader
from rslctl.profile.model import Board

app = typer.Typer(cls=Group, **SETTINGS)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE.toml", help="Name or file of the profile.", autocompletion=board_names
    ),
]


@app.callback(invoke_without_command=True)
def boards(context: typer.Context, json: JsonOption = False, root: RootOption = ROOT) -> None:
    """List the boards that rslctl knows.

    Example: rslctl boards
    """
    if context.invoked_subcommand is not None:
        if json or root != ROOT:
            raise UsageError(
                f"options of 'boards {context.invoked_subcommand}' go behind it",
                hint=f"rslctl boards {context.invoked_subcommand} ... --root DIR",
            )
        return
    known, wrong = [], []
    for name in reader.known(host(root).root):
        try:
            known.append(reader.load(name, Path(root)))
        except RslError as error:
            wrong.append(str(error))
    if json:
        print_json(
            [
                {
                    "name": each.name,
                    "description": each.description,
                    "compatible": list(each.compatible),
                    "links": [
                        {
                            "name": link.name,
                            "vectors": link.vectors,
                            "transport": link.transport,
                            "offers": list(link.offers),
                        }
                        for link in each.links
                    ],
                }
                for each in known
            ]
        )
    else:
        width = max((len(each.name) for each in known), default=0)
        for each in known:
            print(f"{each.name:{width}}  {each.description}")
    if wrong:
        raise SeveralError(wrong)


@app.command(cls=Command)
def show(name: NameArgument, json: JsonOption = False, root: RootOption = ROOT) -> None:
    """Show what a profile says, with all that it extends.

    Example: rslctl boards show zcu102
    """
    board = reader.load(name, host(root).root)
    if json:
        print_json(_plain(board))
        return
    print(f"{board.name}: {board.description}")
    print(f"compatible: {', '.join(board.compatible)}")
    for link in board.links:
        print(f"link {link.name}: {link.transport}, {link.vectors} vector(s)")
        print(f"  offers: {', '.join(link.offers)}")
        for what, region in link.regions():
            print(f"  {what}: {region.base:#x}, {region.size:#x} bytes")
        if link.core:
            print(f"  remote: {link.core}")
        if link.remoteproc:
            mode = f", {link.remoteproc.mode}" if link.remoteproc.mode else ""
            print(f"  remoteproc: {link.remoteproc.node}{mode}")
        if link.virtio:
            print(f"  virtio: {', '.join(link.virtio.devices)}")


def _plain(board: Board) -> Any:
    return dataclasses.asdict(board)


@app.command(cls=Command)
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FILE.toml]...",
            help="Profiles; all, if left out.",
            autocompletion=board_names,
        ),
    ] = None,
    root: RootOption = ROOT,
) -> None:
    """Check profiles. Exit status 1 if one has a mistake.

    Example: rslctl boards check my-board.toml
    """
    found = []
    for name in names or list(reader.known(Path(root))):
        try:
            board = reader.load(name, Path(root))
        except RslError as error:
            found.append(str(error))
        else:
            print(f"{name}: {len(board.links)} link(s), no mistake found")
    if found:
        raise SeveralError(found)
