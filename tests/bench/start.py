# SPDX-License-Identifier: BSD-3-Clause
"""Measures what it takes to start rslctl, against the bare interpreter, in the emulated board.

python3 -m tests.bench.start [ROUNDS]: the commands take turns in each round; the result is on one
line between two markers, as that of board.py.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.bench import figures

BASE = "python3 -c pass"
#: Commands, with the exit status that they end with and how many times the base they may take.
COMMANDS: dict[str, tuple[int, float | None]] = {
    BASE: (0, None),
    "rslctl kick 3": (0, 2.0),
    "rslctl status": (0, None),
    "rslctl wait --timeout 0": (4, None),
    "rslctl doctor": (0, None),
    "rslctl remote --help": (0, None),
    "rslctl --help": (0, 6.0),
}
#: The same of peak memory.
MEMORY = {"rslctl kick 3": 1.5}

SETUP = ("--board", "qemu-virt")


def spawn(command: str, status: int) -> dict[str, list[float]]:
    done = subprocess.run(
        ["/guest/bin/spawn", *command.split()], stdout=subprocess.PIPE, check=False
    )
    if done.returncode != status:
        raise SystemExit(f"{command}: status {done.returncode}")
    return figures.parse(done.stdout.decode())


def setup_parts(base: float) -> dict[str, float]:
    """Set the link up and take it down; shares of the wall time of the first."""
    command = ["python3", "-m", "tests.bench.own_part", *SETUP]
    began = time.monotonic()
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    whole = time.monotonic() - began
    # The steps are lines, too.
    said = "\n".join(line for line in out.splitlines() if line.count(" ") == 1)
    (begun,), (ended,), (own,) = (figures.parse(said)[name] for name in ("begun", "ended", "own"))
    subprocess.run(["rslctl", "teardown"], stdout=subprocess.DEVNULL, check=True)
    start = begun - began
    return {
        "whole": whole,
        "interpreter alone": base / whole,
        "interpreter, loading modules": (start - base) / whole,
        "kernel": (ended - begun - own) / whole,
        "rslctl": own / whole,
        "interpreter, ending": (whole - (ended - began)) / whole,
    }


def measure(rounds: int) -> dict[str, Any]:
    measured: dict[str, dict[str, list[float]]] = {
        command: {"wall": [], "memory": []} for command in COMMANDS
    }
    parts: dict[str, list[float]] = {}
    for _ in range(rounds):
        subprocess.run(["rslctl", "setup", *SETUP], stdout=subprocess.DEVNULL, check=True)
        for command, (status, _) in COMMANDS.items():
            for name, values in spawn(command, status).items():
                measured[command][name] += values
        subprocess.run(["rslctl", "teardown"], stdout=subprocess.DEVNULL, check=True)
        for name, value in setup_parts(measured[BASE]["wall"][-1] / 1e9).items():
            parts.setdefault(name, []).append(value)
    return {
        "rounds": rounds,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "measured": measured,
        "setup": parts,
    }


def table(document: dict[str, Any]) -> str:
    """A document to read."""
    lines = [f"{document['rounds']} rounds, Python {document['python']}", ""]
    base = document["measured"][BASE]
    for name, unit, scale, asked in (
        ("wall", "ms", 1e6, {each: bound for each, (_, bound) in COMMANDS.items()}),
        ("memory", "MiB", 1024, MEMORY),
    ):
        for command, measured in document["measured"].items():
            ratios = [mine / its for mine, its in zip(measured[name], base[name], strict=True)]
            limit = asked.get(command)
            lines.append(
                f"{name:7} {command:24} {statistics.median(ratios):5.2f}   "
                f"({min(ratios):.2f}..{max(ratios):.2f})".ljust(56)
                + (f"<= {limit:.1f}" if limit else "").ljust(8)
                + f"{statistics.median(measured[name]) / scale:9.1f} {unit}"
            )
        lines.append("")
    lines.append(f"rslctl setup takes {statistics.median(document['setup']['whole']):.2f} s:")
    for name, shares in document["setup"].items():
        if name != "whole":
            share = f"{statistics.median(shares):.0%}"
            lines.append(f"  {name:30} {share:>4}   ({min(shares):.0%}..{max(shares):.0%})")
    return "\n".join(lines)


def main() -> None:
    document = measure(*map(int, sys.argv[1:] or ["7"]))
    print(table(document))
    print(f"{figures.BEGIN}\n{json.dumps(document)}\n{figures.END}")


if __name__ == "__main__":
    main()
