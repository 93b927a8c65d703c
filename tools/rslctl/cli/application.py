# SPDX-License-Identifier: BSD-3-Clause
"""The typer application: the list of commands. A command is loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from rslctl import __version__
from rslctl.cli import quick
from rslctl.cli.help import SETTINGS, Command, Group

#: The sections of the help, and of each command there its line, the first of its own help.
SECTIONS = {
    "Describe a board": {
        "boards": "List the boards that rslctl knows.",
        "overlay": "Make the device tree overlay of a board.",
        "layout": "Show how much of a link's shared memory the virtio devices use, in bytes.",
        "remote-dt": "Write what the remote has to know about a link: memory, virtio headers, "
        "vectors, doorbells.",
    },
    "Bring its links up": {
        "ivshmem-server": "Connect virtual machines by the shared memory and the doorbells of "
        "QEMU's ivshmem.",
        "remote": "Start, stop and look at the remote of a link.",
        "setup": "Bring the links of a board up.",
        "teardown": "Undo what setup did, in reverse order, and nothing else.",
        "doctor": "Look for what is wrong, and say what to do about it.",
    },
    "Hand them to daemons": {
        "run": "Become a daemon that has the descriptors of a link.",
        "serve": "Give a link's descriptors to the daemons that connect to a socket.",
        "store": "Have systemd keep a link's descriptors for a unit.",
        "virtio": "Be the daemon of a link, and serve its virtio devices.",
    },
    "Use and watch them": {
        "status": "Show the links that are up, what they carry, and whether their remotes run.",
        "kick": "Notify the remote on a vector.",
        "wait": "Wait for the next notification from the remote.",
        "monitor": "Show notifications from the remote as they come, until interrupted.",
        "bench": "Measure how long kicks, notifications and copies of memory take, or compare such "
        "runs.",
    },
}

#: The module and the function of each command, or "app" where it has commands below it.
_PLACES = {
    **quick.COMMANDS,
    "bench": "bench.bench",
    "boards": "boards.app",
    "ivshmem-server": "ivshmem_server.ivshmem_server",
    "layout": "layout.layout",
    "monitor": "monitor.monitor",
    "overlay": "overlay.app",
    "remote-dt": "remote_dt.remote_dt_command",
}

_REMOTE = """Start, stop and look at the remote of a link.

Example: rslctl remote start --link rpu0
"""


class Commands(Group):
    """All commands. Only the command that is used is loaded."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of the help."""
        return [name for rows in SECTIONS.values() for name in rows]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the command called *cmd_name*; None if there is no such command."""
        return _load(cmd_name) if cmd_name in self.list_commands(ctx) else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help, section by section."""
        for section, rows in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(rows.items()))


def _load(name: str) -> Any:
    if name == "remote":
        made = typer.Typer(**SETTINGS, cls=Group, no_args_is_help=True, help=_REMOTE)
        for words in quick.COMMANDS:
            if words.startswith("remote "):
                made.command(words.removeprefix("remote "), cls=Command)(_function(words))
    elif _PLACES[name].endswith(".app"):
        made = import_module(f"rslctl.cli.commands.{_PLACES[name].removesuffix('.app')}").app
    else:
        made = typer.Typer(**SETTINGS)
        made.command(cls=Command)(_function(name))
    command: Any = typer.main.get_command(made)
    command.name = name
    return command


def _function(name: str) -> Any:
    """The function of a command, with the types of its parameters put into its module."""
    from rslctl.cli import options

    module, attribute = _PLACES[name].split(".")
    place = import_module(f"rslctl.cli.commands.{module}")
    function = getattr(place, attribute)
    if name in quick.COMMANDS:
        for parameter, declared in function.__annotations__.items():
            if parameter != "return":
                setattr(place, declared, getattr(options, declared))
    return function


app = typer.Typer(
    name="rslctl",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    **{**SETTINGS, "add_completion": True},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rslctl {__version__}")
        raise typer.Exit


@app.callback()
def rslctl(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Shared memory and notifications between Linux and a second runtime on the same chip.

    Exit status: 0 done, 1 a known error, 2 usage, 3 done but a reboot is needed,
    4 timed out.

    Example: rslctl setup --board zcu102
    """
