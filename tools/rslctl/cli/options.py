# SPDX-License-Identifier: BSD-3-Clause
"""Options that commands share, spelled alike, and what they name."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from rslctl.cli.output import note
from rslctl.errors import os_error
from rslctl.linux import mbox
from rslctl.linux.host import Host
from rslctl.profile import reader
from rslctl.profile.model import TRANSPORTS


def _seconds(value: float | None) -> float | None:
    if value is not None and not 0 <= value < 1e9:
        raise typer.BadParameter(f"{value} is not a number of seconds from 0 on")
    return value


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes a word to one of *names*."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def board_names(incomplete: str) -> list[str]:
    """The boards that a word may become."""
    return among(reader.known())(incomplete)


def _link_names(incomplete: str) -> list[str]:
    return among(link.name for link in mbox.find(Host()))(incomplete)


VectorArgument = Annotated[int, typer.Argument(metavar="VECTOR", help="Vector, from 0 on.")]
AnyVectorArgument = Annotated[
    int | None, typer.Argument(metavar="[VECTOR]", help="Vector; any where left out.")
]
BoardOption = Annotated[
    str,
    typer.Option(
        "--board",
        metavar="NAME|FILE.toml",
        help="Board, or the file of a profile.",
        autocompletion=board_names,
    ),
]
LinkOption = Annotated[
    str | None,
    typer.Option(
        "--link",
        metavar="NAME",
        help="Link; may be left out where there is one.",
        autocompletion=_link_names,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
]
RootOption = Annotated[
    str, typer.Option("--root", metavar="DIR", help="Where the machine's files hang.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds to wait at most.", callback=_seconds),
]
IntervalOption = Annotated[
    float | None,
    typer.Option("--interval", metavar="S", help="Measure rates over so long.", min=0.01, max=1e6),
]


def _firmware(text: str | None) -> str | None:
    if text is not None and not (text and reader.FIRMWARE.fullmatch(text)):
        raise typer.BadParameter(f"{text!r} is not the name of a file below /lib/firmware")
    return text


FirmwareOption = Annotated[
    str | None,
    typer.Option(
        "--firmware",
        metavar="FILE",
        help="The remote's program, below /lib/firmware.",
        callback=_firmware,
    ),
]
EventfdOption = Annotated[
    bool, typer.Option("--eventfd", help="Eventfds per vector, bound in the kernel, for mbox.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell each change to the kernel before it is made.")
]

TransportOption = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="NAME",
        help="mailbox or doorbell, where links offer both.",
        autocompletion=among(TRANSPORTS),
    ),
]

CommandArgument = Annotated[
    list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="The daemon.")
]
UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="USER", help="Run it as this user, without capabilities."),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="GROUP", help="In place of the user's.")
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--groups", metavar="GROUP,...", help="In place of the user's supplementary groups."
    ),
]
CleanEnvOption = Annotated[
    bool, typer.Option("--clean-env", help="Give it no more of the environment than it needs.")
]
SetenvOption = Annotated[
    list[str] | None,
    typer.Option("--setenv", metavar="NAME[=VALUE]", help="Give it this variable; repeat it."),
]
PlayedBoardOption = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="NAME|FILE.toml",
        help="With --remote: whose link to play.",
        autocompletion=board_names,
    ),
]
PlayedRemoteOption = Annotated[
    str | None,
    typer.Option("--remote", metavar="COMMAND", help="A program to be the remote; as 'sim'."),
]
OnceReadyOption = Annotated[
    bool, typer.Option("--once-ready", help="Start the remote when the daemon says READY=1.")
]
WithRemoteOption = Annotated[
    bool, typer.Option("--with-remote", help="End when the remote ends, with its status.")
]
LegacyOption = Annotated[
    bool,
    typer.Option(
        "--legacy",
        help="Show it the link as /dev/uio0 and /dev/umb, and pass nothing; "
        "{shmem_addr} and {shmem_size} in COMMAND are filled in.",
    ),
]
SocketOption = Annotated[
    str | None,
    typer.Option("--socket", metavar="PATH", help="Instead of /run/rsl/LINK.sock."),
]
UnitOption = Annotated[
    str, typer.Option("--unit", metavar="UNIT", help="The unit that this runs in: %n.")
]


def _mode(text: str | None) -> str | None:
    if text is not None and (not text.isdecimal() or set(text) - set("01234567") or len(text) > 4):
        raise typer.BadParameter(f"{text!r} is not an octal mode, as 0660")
    return text


OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", metavar="USER[:GROUP]", help="Give the device nodes to them."),
]
ModeOption = Annotated[
    str | None,
    typer.Option("--mode", metavar="OCTAL", help="Mode of the device nodes.", callback=_mode),
]
TakeOption = Annotated[
    bool, typer.Option("--force", help="Take devices from other drivers until teardown.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Do not mind whether a daemon serves the link.")
]
IfKnownOption = Annotated[
    bool, typer.Option("--if-known", help="Do nothing where nothing is known to boot it.")
]


def write(files: dict[Path, bytes]) -> None:
    """Write results to files, all or none of them, and say so.

    What is no regular file, as /dev/stdout, is written as it is.

    Raises:
        RslError: one cannot be written; those that were there are as they were.
    """
    made: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in files.items():
            if path.exists() and not path.is_file():
                path.write_bytes(data)
                continue
            # Where a link leads is what is replaced, with the mode that it has.
            target = Path(os.path.realpath(path))
            fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            made[target] = Path(name)
            with open(fd, "wb") as file:
                file.write(data)
            mode = target.stat().st_mode if target.exists() else 0o666 & ~_umask()
            made[target].chmod(stat.S_IMODE(mode))
        for target, temporary in made.items():
            path = target
            temporary.replace(target)
    except OSError as error:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
        raise os_error(f"write '{path}'", error) from error
    for path in files:
        note(f"wrote {path}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
