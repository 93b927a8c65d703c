# SPDX-License-Identifier: BSD-3-Clause
"""What all commands share, and needs no more than the interpreter: see quick.py."""

from __future__ import annotations

import os
import sys

from rslctl.errors import UsageError
from rslctl.linux.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

#: The default of --root.
ROOT = "/"


def host(root: str = ROOT, verbose: bool = False) -> Host:
    """The machine below *root*; a *verbose* one tells what is done to it.

    Raises:
        UsageError: *root* is not a directory.
    """
    if not os.path.isdir(root):
        raise UsageError(f"--root: '{root}' is not a directory")
    root = os.path.realpath(root)
    return Host(root, note) if verbose else Host(root)


def print_json(document: Any) -> None:
    """Print a result as the one document on stdout."""
    import json

    print(json.dumps(document, indent=2))


def note(text: str) -> None:
    """Tell something that is not a result."""
    print(f"rslctl: {text}", file=sys.stderr, flush=True)


def busy(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal that something is being done that may take a while."""
    if not sys.stderr.isatty():
        from contextlib import nullcontext

        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
