# SPDX-License-Identifier: BSD-3-Clause
"""Runs rslctl setup, and says how long which part of it took.

python3 -m tests.bench.own_part ARGUMENT...; times are in seconds, from the process's start.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

from rslctl.cli.commands import setup
from rslctl.cli.main import main as rslctl


def main() -> None:
    real = vars(setup)["host"]
    begun: list[float] = []

    def first(*arguments: Any) -> Any:
        """The first thing that the command does."""
        begun[:] = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        return real(*arguments)

    vars(setup)["host"] = first
    sys.argv = ["rslctl", "setup", *sys.argv[1:]]
    try:
        rslctl()
    finally:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun[1]
        print(f"begun {begun[0]}\nended {time.monotonic()}\nown {own}")


if __name__ == "__main__":
    main()
