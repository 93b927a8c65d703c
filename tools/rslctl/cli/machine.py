# SPDX-License-Identifier: BSD-3-Clause
"""The machine that --root names.

The quick commands load this module, so it needs no more than the interpreter: see quick.py.
"""

from __future__ import annotations

import os

from rslctl.cli.output import note
from rslctl.errors import UsageError
from rslctl.linux.host import Host

#: The default of --root.
ROOT = "/"


def host(root: str = ROOT, verbose: bool = False) -> Host:
    """The machine below *root*. A *verbose* one prints each change before it is made.

    Raises:
        UsageError: *root* is not a directory.
    """
    if root != ROOT:
        try:
            fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"--root: '{root}' is not a directory") from error
        return Host.opened(fd, note) if verbose else Host.opened(fd)
    return Host(root, note) if verbose else Host(root)
