# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl overlay``: made, installed for the boot loader, applied to the running kernel."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rslctl.boot import installed, installer, live, loaders, transaction
from rslctl.cli.board import described
from rslctl.cli.help import SETTINGS, Command, Group
from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import (
    BoardOption,
    DryRunOption,
    JsonOption,
    RootOption,
    TransportOption,
    among,
    board_names,
    write,
)
from rslctl.cli.output import busy, note, print_json
from rslctl.devicetree import nodes, overlay, remoteproc, tree
from rslctl.errors import RslError, SeveralError, UsageError
from rslctl.linux.host import Host
from rslctl.profile.model import Board
from rslctl.setup import lock
from rslctl.tables import table

app = typer.Typer(cls=Group, **SETTINGS)

_REBOOT = 3


@app.callback(invoke_without_command=True)
def overlay_command(
    context: typer.Context,
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            metavar="NAME|FILE.toml",
            help="Board, or the file of a profile.",
            autocompletion=board_names,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="FILE.dtso for source, FILE.dtbo for a blob."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="FILE.dtb", help="Device tree that the overlay has to fit."),
    ] = None,
    transport: TransportOption = None,
    style: Annotated[
        str,
        typer.Option(
            "--style",
            metavar="NAME",
            help="rsl, or user-mailbox for the nodes of the original module and daemon.",
            autocompletion=among(overlay.STYLES),
        ),
    ] = overlay.STYLES[0],
    merge: Annotated[
        Path | None,
        typer.Option(
            "--merge", metavar="FILE.dtb", help="Write the base with the overlay applied."
        ),
    ] = None,
    root: RootOption = ROOT,
) -> None:
    """Make the device tree overlay of a board. Its source goes to stdout.

    With --base it is checked against that tree, and fits it: by label where the tree has
    labels, else by path and phandle.

    Example: rslctl overlay --board qemu-virt --base virt.dtb --merge merged.dtb
    """
    if context.invoked_subcommand is not None:
        if any((board, output, base, transport, merge, root != ROOT)):
            raise UsageError(
                f"options of 'overlay {context.invoked_subcommand}' go behind it",
                hint=f"rslctl overlay {context.invoked_subcommand} --board NAME ...",
            )
        return
    if board is None:
        raise UsageError("overlay needs --board", hint="rslctl boards lists the boards")
    _check_options(output, base, style, merge)
    profile = described(board, transport, host(root))
    blob = b""
    files = {}
    absent: list[str] = []
    with busy("making the overlay"):
        if base:
            parsed, blob = overlay.read_base(base)
            made = overlay.for_base(profile, style, parsed)
            absent = list(remoteproc.absent(profile, parsed))
        else:
            made = overlay.build(profile, style)
        if output:
            binary = output.suffix == ".dtbo"
            data = nodes.to_blob(made) if binary else nodes.to_source(made).encode()
            files[output] = data
        if merge:
            files[merge] = overlay.merge(made, blob)
    for text in absent:
        note(f"{text}: its kernel does not boot this remote")
    for each in made.notes:
        note(each)
    if files:
        write(files)
    else:
        sys.stdout.write(nodes.to_source(made))


def _check_options(output: Path | None, base: Path | None, style: str, merge: Path | None) -> None:
    if merge and not base:
        raise UsageError("--merge needs --base", hint="--base FILE.dtb is what to merge into")
    if output and output.suffix not in (".dtso", ".dtbo"):
        raise UsageError(f"-o: '{output}' has to end in .dtso or .dtbo")
    if style not in overlay.STYLES:
        raise UsageError(f"--style: {style!r} is not one of {', '.join(overlay.STYLES)}")
    if output and merge and output.resolve() == merge.resolve():
        raise UsageError(f"-o and --merge are both '{output}'")


@app.command(cls=Command)
def install(
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            metavar="NAME|FILE.toml",
            help="Board, or the file of a profile; if left out, all that is installed.",
            autocompletion=board_names,
        ),
    ] = None,
    transport: TransportOption = None,
    loader: Annotated[
        str | None,
        typer.Option(
            "--loader",
            metavar="NAME[:FILE]",
            help=f"Boot loader: {', '.join(each.name for each in loaders.LOADERS)}; FILE is its "
            "configuration, if there are several.",
            autocompletion=among([each.name for each in loaders.LOADERS]),
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="FILE.dtb", help="Device tree that the overlay has to fit."),
    ] = None,
    dtb: Annotated[
        str | None,
        typer.Option(
            "--dtb",
            metavar="FILE.dtb",
            help="Merge the overlay into this tree of the machine instead.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Put the overlay of a board where the boot loader takes it. Stale ones are fitted anew.

    Without --board, whatever is installed and does not fit the machine's trees any more, for
    example after a kernel update, is fitted anew.

    Exit status 3: it is there, and a reboot is needed.

    Example: rslctl overlay install --board zcu102
    """
    if dtb and (loader or base):
        raise UsageError("--dtb goes without --loader and --base")
    machine = host(root)
    if board is None:
        if transport or loader or base or dtb:
            raise UsageError("--transport, --loader, --base and --dtb need --board")
        _refit(machine, dry_run)
        return
    profile = described(board, transport, machine)
    # A file is found again from anywhere.
    name = str(Path(board).absolute()) if board.endswith(".toml") else board
    how = installed.How(loader, dtb, base, name, transport)
    with _locked(machine, dry_run):
        done = installer.install(machine, profile, how, dry_run=dry_run, report=print)
    if not done:
        print(f"the overlay of board {profile.name} is installed already")
    if not dry_run and (done or _awaits_boot(machine, profile)):
        note("reboot to have it applied")
        raise typer.Exit(_REBOOT)


def _refit(machine: Host, dry_run: bool) -> None:
    """Fit what is installed anew where its base has changed; go on if one cannot be."""
    failed: list[str] = []
    done = False
    #: Those that are over one that could not be fitted anew, and that one.
    waiting: dict[str, str] = {}
    with _locked(machine, dry_run):
        for name in _lowest_first(machine):
            try:
                record = transaction.load(machine, name)
                if record is None or not installed.stale(machine, record):
                    continue
                if name in waiting:
                    failed.append(f"overlay {name}: is over that of board {waiting[name]!r}")
                    continue
                how = installed.again(record)
                profile = described(how.board, how.transport, machine)
                done |= installer.install(machine, profile, how, dry_run=dry_run, report=print)
            except RslError as error:
                failed.append(f"overlay {name}: {error}" + f" ({error.hint})" * bool(error.hint))
                waiting |= dict.fromkeys(_over(machine, name), name)
    if failed:
        raise SeveralError(
            failed,
            hint="what was installed does not fit the tree that is booted: mend that before the "
            "next boot, or take it out with rslctl overlay uninstall",
        )
    if not done:
        note("no installed overlay is stale: nothing to fit anew")
    elif not dry_run:
        note("reboot to have it applied")
        raise typer.Exit(_REBOOT)


def _lowest_first(machine: Host) -> list[str]:
    """The names of what is installed; first what others were installed over."""
    names = transaction.names(machine)
    return sorted(names, key=lambda name: len(_over(machine, name)), reverse=True)


def _over(machine: Host, name: str) -> list[str]:
    try:
        return [each.name for each in transaction.over(machine, name)]
    except RslError:
        return []  # a record is damaged, which is said where it is loaded


def _locked(machine: Host, dry_run: bool) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if dry_run else lock.locked(machine, 5.0, note)


def _awaits_boot(machine: Host, profile: Board) -> bool:
    return machine.live and bool(overlay.unlike(profile, tree.from_machine(machine)))


@app.command(cls=Command)
def uninstall(
    board: Annotated[
        str | None,
        typer.Option(
            "--board", metavar="NAME", help="Board; may be left out if only one is installed."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also put back files that somebody else changed since.")
    ] = False,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Put back, byte for byte, what installing an overlay changed.

    Exit status 3: it is, and a reboot is needed.

    Example: rslctl overlay uninstall
    """
    machine = host(root)
    name = _installed(machine, board)
    if name is None:
        note("no overlay is installed: nothing to undo")
        return
    with _locked(machine, dry_run):
        done = installer.uninstall(machine, name, force=force, dry_run=dry_run, report=print)
    if not done:
        note(f"no overlay of board {name!r} is installed: nothing to undo")
    elif not dry_run:
        note("reboot to be without it")
        raise typer.Exit(_REBOOT)


def _installed(machine: Host, board: str | None) -> str | None:
    """The name of the installed overlay to use; None if there is none."""
    names = transaction.names(machine) or transaction.left(machine)
    if board is not None:
        return board if board in names else described(board, None, machine).name
    if len(names) > 1:
        raise RslError(
            f"several overlays are installed: {', '.join(names)}", hint="choose one with --board"
        )
    return names[0] if names else None


@app.command(cls=Command)
def apply(
    board: BoardOption,
    transport: TransportOption = None,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Apply the overlay of a board to the running kernel, where it has an interface for that.

    Example: rslctl overlay apply --board zcu102
    """
    machine = host(root)
    profile = described(board, transport, machine)
    with _locked(machine, dry_run):
        done = live.apply(machine, profile, dry_run=dry_run)
    print(f"overlay {profile.name}: {_result(done, dry_run, 'apply', 'applied')}")


def _result(done: bool, dry_run: bool, would: str, result: str) -> str:
    if not done:
        return f"already {result}"
    return f"would {would}" if dry_run else result


@app.command(cls=Command)
def remove(
    board: BoardOption,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Remove an overlay that was applied to the running kernel.

    Example: rslctl overlay remove --board zcu102
    """
    machine = host(root)
    profile = described(board, None, machine)
    with _locked(machine, dry_run):
        done = live.remove(machine, profile, dry_run=dry_run)
    print(f"overlay {profile.name}: {_result(done, dry_run, 'remove', 'removed')}")


@app.command(name="list", cls=Command)
def list_(json: JsonOption = False, root: RootOption = ROOT) -> None:
    """List the overlays that are installed for the boot loader or applied to the kernel.

    Example: rslctl overlay list
    """
    machine = host(root)
    rows: list[dict[str, Any]] = []
    for name in transaction.names(machine):
        record = transaction.load(machine, name)
        if record:
            rows.append(
                {
                    "name": name,
                    "where": record.about["loader"],
                    "state": installed.state(machine, record),
                    "files": [each.path for each in record.changes],
                }
            )
    for name, status in live.applied(machine).items():
        rows.append({"name": name, "where": "kernel", "state": status, "files": []})
    if json:
        print_json(rows)
        return
    shown = [("overlay", "where", "state")]
    shown += [(row["name"], row["where"], row["state"]) for row in rows]
    if rows:
        print("\n".join(table(shown, left=range(3))))
    else:
        note("no overlay is installed or applied")
