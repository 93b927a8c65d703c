# SPDX-License-Identifier: BSD-3-Clause
"""Runs tests/bench in the emulated board and shows what it found."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.amp import build, machine, qemu
from tests.amp.machine import REPOSITORY, run
from tests.amp.say import die, say, step
from tests.bench import figures, start, virtio_figures

RESULTS = REPOSITORY / "build/bench"

#: Of the emulator's clock where it counts instructions: one tick of the board's counter.
NS_PER_INSTRUCTION = 16

#: As a Cortex-A53 runs that has no boot loader's seed: with page tables of its own for user
#: space, which it does not need, an emulator spends its time on nothing but these.
ARGUMENTS = ("nokaslr", "kpti=off")

#: Title, arguments of the emulator, and of tests/bench/board.py: rounds and the samples of each
#: contender in a round. By the clock these are short, so that both see the same machine.
MODES = {
    "instructions": (
        "the emulator's clock counts instructions, on both cores",
        ("-icount", "shift=4,sleep=off"),
        (7, 1000, NS_PER_INSTRUCTION),
    ),
    "time": ("by the clock, which has what emulation and this machine take in it", (), (15, 300)),
}

#: Of tests/bench/virtio.py: rounds, round trips and bytes.
VIRTIO = (3, 300, 300_000)

#: Rounds of starting rslctl.
STARTS = 7

#: Measures the link as a user does.
LINK = (
    "rslctl setup --board qemu-virt >/dev/null && rslctl bench --path chardev --path eventfd "
    f"--path sysfs --path uio --json >/tmp/run.json && echo {figures.BEGIN} && cat /tmp/run.json "
    f"&& echo {figures.END}"
)


def bench() -> None:
    """Measure the module by instructions and by the clock, and then the command line."""
    machine.install(machine.COMPILER_PACKAGES)
    board = build.board()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for mode, (title, emulator, numbers) in MODES.items():
        module = dataclasses.replace(
            board.with_tree("sim"), cores=1, arguments=ARGUMENTS, emulator=emulator
        )
        command = " ".join(["python3 -m tests.bench.board", *map(str, numbers)])
        document = _measure(module, command, title, f"board-{mode}")
        print(f"\n{title[0].upper()}{title[1:]}\n{figures.table(document)}\n", flush=True)
    _virtio(board)
    title = "the start of rslctl, against the bare interpreter's"
    document = _measure(board, f"python3 -m tests.bench.start {STARTS}", title, "start")
    print(f"\n{title[0].upper()}{title[1:]}\n{start.table(document)}\n", flush=True)
    _measure(board, LINK, "a link, with rslctl bench", "link")
    shown = RESULTS / "link.json"
    print(build.rslctl("bench", shown))
    build.rslctl("bench", shown, "--report", shown.with_suffix(".html"))


def _virtio(board: build.Board) -> None:
    """Measure devices of rslctl virtio in instructions of Linux's core, and by the clock."""
    counting = build.BUILD / "counting.so"
    source = REPOSITORY / "tests/amp/counting.c"
    run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", counting, source])
    marks = build.BUILD / "marks"
    # The clock counts as well, so that nothing depends on this machine: not even timer ticks.
    plugin = (*MODES["instructions"][1], "-plugin", f"file={counting},marks={marks}")
    command = " ".join(["python3 -m tests.bench.virtio", *map(str, VIRTIO)])
    for mode, emulator in (("instructions", plugin), ("time", ())):
        served = dataclasses.replace(
            board.with_virtio(), cores=1, arguments=ARGUMENTS, emulator=emulator
        )
        title = f"virtio devices, against a proxy, {mode}"
        document = _document(served, command, title)
        if emulator:
            lines = marks.read_text().splitlines()
            document = virtio_figures.count(
                document, [[int(n) for n in each.split()] for each in lines]
            )
        _keep(document, f"virtio-{mode}")
        print(f"\n{title[0].upper()}{title[1:]}\n{virtio_figures.table(document)}\n", flush=True)


def _measure(board: build.Board, command: str, title: str, name: str) -> dict[str, Any]:
    document = _document(board, command, title)
    _keep(document, name)
    return document


def _document(board: build.Board, command: str, title: str) -> dict[str, Any]:
    """What a command that measures has printed in the board."""
    with step(f"measuring: {title}"):
        outcome = qemu.boot(board, command, timeout=900)
    if not outcome.passed:
        die(f"the board ended with status {outcome.status}\n{outcome.console}")
    return figures.found(outcome.console)


def _keep(document: dict[str, Any], name: str) -> None:
    path = RESULTS / f"{name}.json"
    path.write_text(f"{json.dumps(document, indent=1)}\n")
    say(f"wrote {path.relative_to(REPOSITORY)}")
