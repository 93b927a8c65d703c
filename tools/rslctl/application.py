# SPDX-License-Identifier: BSD-3-Clause
"""The typer application: which commands there are, each loaded when it is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from rslctl import __version__, quick
from rslctl.commands.group import SETTINGS, Group

#: The sections of the help; of each command there its module and function, or "app" where it has
#: commands below it, and its line, which is the first of its own help.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Describe a board": {
        "boards": (
            "boards.app",
            "List the boards that rslctl knows.",
        ),
        "overlay": (
            "overlay.app",
            "Make the device tree overlay of a board; its source goes to stdout.",
        ),
        "layout": (
            "layout.layout",
            "Show what the daemon's virtio devices take of a link's shared memory, in bytes.",
        ),
        "remote-dt": (
            "remote_dt.remote_dt",
            "Tell what the remote has to know of a link: memory, virtio headers, vectors, "
            "doorbells.",
        ),
    },
    "Bring its links up": {
        "remote": (
            "remote.app",
            "Start, stop and look at the remote of a link.",
        ),
        "setup": (
            "setup.setup",
            "Bring the links of a board up; run again, it does only what is missing.",
        ),
        "teardown": (
            "setup.teardown",
            "Undo what setup did, in reverse, and nothing else.",
        ),
        "doctor": (
            "doctor.doctor_command",
            "Look for what is wrong, and say what to do about it; nothing is changed.",
        ),
    },
    "Hand them to daemons": {
        "run": (
            "run.run",
            "Become a daemon that has the descriptors of a link.",
        ),
        "serve": (
            "serve.serve",
            "Give a link's descriptors to daemons that others start, and that connect to a socket.",
        ),
        "store": (
            "store.store_command",
            "Have systemd keep a link's descriptors for a unit, whose daemon gets them at "
            "each start.",
        ),
    },
    "Use and watch them": {
        "status": (
            "status.status",
            "Show the links that are up, what they carry, and whether their remotes run.",
        ),
        "kick": (
            "kick.kick",
            "Notify the remote on a vector.",
        ),
        "wait": (
            "wait.wait",
            "Wait for a notification of the remote that comes from now on.",
        ),
        "monitor": (
            "monitor.monitor",
            "Show notifications of the remote as they come, until interrupted.",
        ),
        "bench": (
            "bench.bench",
            "Measure how long kicks, notifications and copies of memory take, or compare such "
            "runs.",
        ),
    },
}

COMMANDS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}


class Commands(Group):
    """The commands, of which only the one that is wanted is loaded."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, loaded; None if there is none."""
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help, section by section."""
        for section, rows in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, told) for name, (_, told) in rows.items()])


def _load(name: str) -> Any:
    place, attribute = COMMANDS[name][0].split(".")
    module = import_module(f"rslctl.commands.{place}")
    if attribute == "app":
        made = typer.main.get_command(module.app)
    else:
        function = getattr(module, attribute)
        if name in quick.COMMANDS:
            _give_meaning(module, function)
        single = typer.Typer(**SETTINGS)
        single.command()(function)
        made = typer.main.get_command(single)
    made.name = name
    return made


def _give_meaning(module: Any, function: Any) -> None:
    """Let a module have what the names mean that a function declares its parameters by."""
    from rslctl.commands import options

    for name, declared in function.__annotations__.items():
        if name != "return":
            setattr(module, declared, getattr(options, declared))


app = typer.Typer(
    name="rslctl",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **{**SETTINGS, "add_completion": True},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rslctl {__version__}")
        raise typer.Exit


@app.callback()
def rslctl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Shared memory and notifications between Linux and a second runtime on the same chip.

    Exit status: 0 done, 1 a known error, 2 usage, 3 done but a reboot is needed,
    4 timed out.

    Example: rslctl setup --board zcu102
    """
