# SPDX-License-Identifier: BSD-3-Clause
"""Options that several commands share, declared once."""

from __future__ import annotations

import os
import re
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
from rslctl.profile import reader, virtio
from rslctl.profile.model import TRANSPORTS


def _seconds(value: float | None) -> float | None:
    if value is not None and not 0 <= value < 1e9:
        raise typer.BadParameter(f"{value} is not a number of seconds from 0 on")
    return value


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion function for words out of *names*."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def board_names(incomplete: str) -> list[str]:
    """Complete *incomplete* to the names of boards."""
    return among(reader.known())(incomplete)


def _link_names(incomplete: str) -> list[str]:
    return among(link.name for link in mbox.find(Host()))(incomplete)


VectorArgument = Annotated[int, typer.Argument(metavar="VECTOR", help="Vector, from 0 on.")]
AnyVectorArgument = Annotated[
    int | None, typer.Argument(metavar="[VECTOR]", help="Vector; any, if left out.")
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
LookedAtBoardOption = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="NAME|FILE.toml",
        help="Board, or the file of a profile; may be left out if one is set up.",
        autocompletion=board_names,
    ),
]
ReportOption = Annotated[
    str | None,
    typer.Option("--report", metavar="FILE", help="Write all that was seen, for a bug report."),
]
LinkOption = Annotated[
    str | None,
    typer.Option(
        "--link",
        metavar="NAME",
        help="Link; may be left out if there is only one.",
        autocompletion=_link_names,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
]
RootOption = Annotated[
    str, typer.Option("--root", metavar="DIR", help="Directory with the files of the machine.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds to wait at most.", callback=_seconds),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="S",
        help="Wait for the answer on the same vector, for S seconds at most.",
        callback=_seconds,
    ),
]
IntervalOption = Annotated[
    float | None,
    typer.Option(
        "--interval", metavar="S", help="Seconds over which rates are measured.", min=0.01, max=1e6
    ),
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
    bool,
    typer.Option(
        "--eventfd", help="Pass an eventfd per vector, bound in the kernel, instead of mbox."
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print each change to the kernel before it is made.")
]

TransportOption = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="NAME",
        help="mailbox or doorbell, if the links offer both.",
        autocompletion=among(TRANSPORTS),
    ),
]

CommandArgument = Annotated[
    list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="The daemon.")
]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="USER", help="Run the daemon as this user, without capabilities."
    ),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="GROUP", help="Group, instead of the user's.")
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--groups", metavar="GROUP,...", help="Supplementary groups, instead of the user's."
    ),
]
CleanEnvOption = Annotated[
    bool,
    typer.Option("--clean-env", help="Pass only the environment variables that the daemon needs."),
]
SetenvOption = Annotated[
    list[str] | None,
    typer.Option("--setenv", metavar="NAME[=VALUE]", help="Pass this variable; may be repeated."),
]
OpenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--open",
        metavar="PATH:NAME",
        help="Open this file, device or socket for the daemon, too; may be repeated.",
    ),
]
PlayedBoardOption = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="NAME|FILE.toml",
        help="With --remote: the board whose link is played.",
        autocompletion=board_names,
    ),
]
PlayedRemoteOption = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="COMMAND",
        help="Program that plays the remote, for example on board 'sim'.",
    ),
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
        help="Show the daemon the link as /dev/uio0 and /dev/umb, and pass no descriptors; "
        "{shmem_addr} and {shmem_size} in COMMAND are filled in.",
    ),
]
DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="KIND[,KEY=VALUE]...",
        help="Virtio device, instead of the profile's; may be repeated.",
        autocompletion=among(virtio.KINDS),
    ),
]
DeviceTreeOption = Annotated[
    bool | None,
    typer.Option("--dtb/--no-dtb", help="Whether the daemon puts a device tree first."),
]
RegistersOption = Annotated[
    int | None,
    typer.Option(
        "--version",
        metavar="1|2",
        min=1,
        max=2,
        help="Version of the registers, instead of the profile's.",
        autocompletion=among(("1", "2")),
    ),
]
SocketOption = Annotated[
    str | None,
    typer.Option(
        "--socket", metavar="PATH", help="Path of the socket, instead of /run/rsl/LINK.sock."
    ),
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
    typer.Option("--owner", metavar="USER[:GROUP]", help="Owner of the device nodes."),
]
ModeOption = Annotated[
    str | None,
    typer.Option("--mode", metavar="OCTAL", help="Mode of the device nodes.", callback=_mode),
]
TakeOption = Annotated[
    bool, typer.Option("--force", help="Take devices from other drivers until teardown.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Ignore whether a daemon serves the link.")
]
IfKnownOption = Annotated[
    bool,
    typer.Option(
        "--if-known", help="Do nothing if the profile does not say what boots the remote."
    ),
]


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int | None:
    """Read a number of bytes, as 16M or 0x1000000; None if *text* is none."""
    found = re.fullmatch(r"(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})([KMG]?)", text)
    if not found:
        return None
    return int(found[1], 0 if found[1].startswith("0x") else 10) * _UNITS[found[2]]


def write(files: dict[Path, bytes]) -> None:
    """Write results to files, all or none of them, and print their names.

    A file that is not regular, such as /dev/stdout, is opened and written.

    Raises:
        RslError: a file cannot be written. Files that existed are unchanged.
    """
    made: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in files.items():
            # Where a link leads is what is replaced, with the mode that it has, unless it is a
            # link, or a pipe, of somebody else's.
            own = path.exists() and path.lstat().st_uid in (0, os.geteuid())
            if own and _written_as_it_is(path, data):
                continue
            target = Path(os.path.realpath(path) if own else path)
            fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            made[target] = Path(name)
            mode = target.stat().st_mode if target.exists() else 0o666 & ~_umask()
            with open(fd, "wb") as file:
                file.write(data)
                # Not by the name, which may lead elsewhere in a directory of another user.
                os.fchmod(fd, stat.S_IMODE(mode) & 0o777)
        for target, temporary in made.items():
            path = target
            temporary.replace(target)
    except OSError as error:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
        raise os_error(f"write '{path}'", error) from error
    for path in files:
        note(f"wrote {path}")


def _written_as_it_is(path: Path, data: bytes) -> bool:
    """Write to what is no regular file; False if it is one."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "wb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        os.set_blocking(fd, True)
        file.write(data)
        return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
