# SPDX-License-Identifier: BSD-3-Clause
"""Start of the command line. Errors become messages and exit statuses here."""

from __future__ import annotations

import errno
import io
import os
import sys

from rslctl.cli import output, quick
from rslctl.errors import RslError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line.

    A known error is printed as one line and a hint, a bug as a traceback.
    """
    # A closed descriptor: nobody reads the result.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    # As stderr does: a terminal that cannot show a character shows its number.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            if not quick.run(sys.argv[1:]):
                _application()
        finally:
            sys.stdout.flush()
    except RslError as error:
        output.note(str(error))
        if error.hint:
            output.show(f"hint: {error.hint}", sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print("rslctl: cannot write the result: No space left on device", file=sys.stderr)
        os._exit(1)  # the interpreter would try again
    sys.exit(0)


def _application() -> None:
    """Run typer's application, which may end the process."""
    import gc

    # Nothing that is loaded is freed before the end. A garbage collection while loading would take
    # a sixth of the start.
    gc.disable()
    from rslctl.cli.application import app

    gc.freeze()
    gc.enable()
    app()
