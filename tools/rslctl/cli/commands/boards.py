# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl boards``, and below it ``show``, ``check`` and ``propose``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rslctl.cli import options
from rslctl.cli.help import SETTINGS, Command, Group
from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import JsonOption, RootOption, board_names, write
from rslctl.cli.output import busy, note, print_json
from rslctl.cli.output import show as line
from rslctl.devicetree import holes, overlay, tree
from rslctl.devicetree import propose as proposals
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError, UsageError
from rslctl.linux import iomem, remoteproc
from rslctl.linux.host import Host
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
    machine = host(root)
    for name in reader.known(machine):
        try:
            known.append(reader.load(name, machine))
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
            line(f"{each.name:{width}}  {each.description}")
    if wrong:
        raise SeveralError(wrong)


@app.command(cls=Command)
def show(name: NameArgument, json: JsonOption = False, root: RootOption = ROOT) -> None:
    """Show what a profile says, with all that it extends.

    Example: rslctl boards show zcu102
    """
    board = reader.load(name, host(root))
    if json:
        print_json(_plain(board))
        return
    line(f"{board.name}: {board.description}")
    line(f"compatible: {', '.join(board.compatible)}")
    for link in board.links:
        line(f"link {link.name}: {link.transport}, {link.vectors} vector(s)")
        line(f"  offers: {', '.join(link.offers)}")
        for what, region in link.regions():
            line(f"  {what}: {region.base:#x}, {region.size:#x} bytes")
        if link.core:
            line(f"  remote: {link.core}")
        if link.remoteproc:
            mode = f", {link.remoteproc.mode}" if link.remoteproc.mode else ""
            line(f"  remoteproc: {link.remoteproc.node}{mode}")
        if link.virtio:
            line(f"  virtio: version {link.virtio.version}: {' '.join(link.virtio.devices)}")


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
    machine = host(root)
    for name in names or list(reader.known(machine)):
        try:
            board = reader.load(name, machine)
        except RslError as error:
            found.append(str(error))
        else:
            print(f"{name}: {len(board.links)} link(s), no mistake found")
    if found:
        raise SeveralError(found)


#: The largest shared memory that can be asked for, in bytes.
_LARGEST = 1 << 32


def _size(text: str) -> int:
    """Read a number of bytes, as 16M or 0x1000000.

    Raises:
        UsageError: it is not a size that a shared memory can have.
    """
    found = options.size(text)
    if not found or found > _LARGEST or found % reader.PAGE_SIZE:
        raise UsageError(
            f"--size: {text!r} is not a multiple of {reader.PAGE_SIZE:#x} bytes up to 4G",
            hint="for example --size 16M, or --size 0x1000000",
        )
    return found


@app.command(cls=Command)
def propose(
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="FILE.dtb", help="Device tree, instead of the running machine's."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", metavar="BYTES", help="Shared memory of each link.")
    ] = "16M",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.toml", help="Where to, instead of stdout."),
    ] = None,
    root: RootOption = ROOT,
) -> None:
    """Write a profile for a board: a link for each remote that its device tree knows.

    Comments say what was found, what was assumed, and what has to be looked up.

    Example: rslctl boards propose --base my-board.dtb -o my-board.toml
    """
    if output and output.suffix != ".toml":
        raise UsageError(f"-o: '{output}' is not the name of a profile, which ends in .toml")
    if base and root != ROOT:
        raise UsageError("--base is instead of the machine that --root names")
    wanted, machine = _size(size), host(root)
    with busy("looking for remotes"):
        given, running = (overlay.read_base(base)[0], holes.Running()) if base else _facts(machine)
        made = proposals.propose(given, wanted, running)
    if not made.text:
        raise SeveralError([f"{given.source}: {each}" for each in made.refusals()])
    for each in made.refusals():
        note(each)
    for name in _known_for(given, machine):
        note(f"the profile {name!r} is for this board, too: rslctl boards show {name}")
    if output:
        write({output: made.text.encode()})
    else:
        sys.stdout.write(made.text)


def _facts(machine: Host) -> tuple[Tree, holes.Running]:
    """The tree of the machine, and what its kernel says beside it."""
    given = tree.from_machine(machine)
    if not given.nodes:
        raise RslError("this machine has no device tree", hint="give one: --base FILE.dtb")
    used = iomem.read(machine)
    if not used.known:
        note(f"{machine.where(iomem.PATH)} tells no addresses, so what the kernel uses is unknown")
    names = {
        each.node: f"{each.device} ({each.name}, {each.state})"
        for each in remoteproc.find(machine)
        if each.node
    }
    return given, holes.Running(used.ram, used.used, names)


def _known_for(given: Tree, machine: Host) -> list[str]:
    """The names of the profiles that are for the board of a tree."""
    found = []
    for name in reader.known(machine):
        try:
            board = reader.load(name, machine)
        except RslError:
            continue  # "boards check" is what reports it
        if set(board.compatible) & set(given.texts("/", "compatible")):
            found.append(name)
    return found
