# SPDX-License-Identifier: BSD-3-Clause
"""The command line: commands, and errors turned into exit statuses."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from rslctl import __version__
from rslctl.commands import (
    boards,
    doctor,
    kick,
    layout,
    monitor,
    overlay,
    remote,
    remote_dt,
    run,
    serve,
    setup,
    status,
    store,
    wait,
)
from rslctl.commands.group import Group
from rslctl.errors import RslError

app = typer.Typer(
    name="rslctl",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


_DESCRIBE = "Describe a board"
_BRING_UP = "Bring its links up"
_HAND_OVER = "Hand them to daemons"
_LOOK = "Use and watch them"

app.add_typer(boards.app, name="boards", rich_help_panel=_DESCRIBE)
app.add_typer(overlay.app, name="overlay", rich_help_panel=_DESCRIBE)
app.add_typer(remote.app, name="remote", rich_help_panel=_BRING_UP)
for panel, name, command in (
    (_DESCRIBE, "layout", layout.layout),
    (_DESCRIBE, "remote-dt", remote_dt.remote_dt),
    (_BRING_UP, "setup", setup.setup),
    (_BRING_UP, "teardown", setup.teardown),
    (_BRING_UP, "doctor", doctor.doctor_command),
    (_HAND_OVER, "run", run.run),
    (_HAND_OVER, "serve", serve.serve),
    (_HAND_OVER, "store", store.store_command),
    (_LOOK, "status", status.status),
    (_LOOK, "kick", kick.kick),
    (_LOOK, "wait", wait.wait),
    (_LOOK, "monitor", monitor.monitor),
):
    app.command(name, rich_help_panel=panel)(command)


def main() -> NoReturn:
    """Run the command line; a known error is one line and a hint, a bug a traceback."""
    # A closed descriptor is as good as nobody who reads.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except RslError as error:
        print(f"rslctl: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print("rslctl: cannot write the result: No space left on device", file=sys.stderr)
        os._exit(1)  # the interpreter would try again
    sys.exit(0)
