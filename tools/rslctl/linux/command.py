# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the machine that rslctl runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from rslctl.errors import RslError, os_error


def run(command: Sequence[str], *, hint: str = "") -> str:
    """Run a command that does not touch the machine, and return its standard output.

    Raises:
        RslError: the command is not installed or fails.
    """
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise os_error(f"run '{command[0]}'", error, hint=hint) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise RslError(f"'{' '.join(command)}' failed: {reason}", hint=hint)
    return done.stdout
