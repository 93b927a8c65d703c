# SPDX-License-Identifier: BSD-3-Clause
"""What a command prints: its result on stdout, everything else on stderr.

The quick commands load this module, so it needs no more than the interpreter: see quick.py.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any


def print_json(document: Any) -> None:
    """Print a result as the one document on stdout."""
    import json

    print(json.dumps(document, indent=2))


def note(text: str) -> None:
    """Print a message that is not a result."""
    print(f"rslctl: {text}", file=sys.stderr, flush=True)


def busy(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal that work is going on. Use this in ``with``."""
    if not sys.stderr.isatty():
        from contextlib import nullcontext

        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
