# SPDX-License-Identifier: BSD-3-Clause
"""python3 -m tests.amp demo|check [PYTEST-ARGUMENT]...|check-million|shell|overlays|run COMMAND"""

from __future__ import annotations

import os
import sys

from tests.amp import build, machine, qemu
from tests.amp.say import die, say


def demo() -> None:
    """Show the main job in the emulated board; fail where a step of it fails."""
    board = build.board()
    say("booting: Linux on core 0, the remote on core 1")
    outcome = qemu.boot(board, "sh /guest/tests/guest/demo.sh", timeout=180, show=True)
    if not outcome.passed:
        die(f"the demo failed with status {outcome.status}")
    say("every step of the demo did what it should")


def check(arguments: list[str]) -> None:
    """Run all tests."""
    interpreter = machine.python()
    build.board()
    say("running the tests; those in the board take about two minutes")
    os.chdir(machine.REPOSITORY)
    command = [str(interpreter), "-m", "pytest", *(arguments or ["tests/unit", "tests/system"])]
    os.execv(interpreter, command)


def overlays() -> None:
    """Generate the overlays that are checked in."""
    for profile in sorted((machine.REPOSITORY / "tools/rslctl/boards").glob("*.toml")):
        target = machine.REPOSITORY / f"dt-overlays/{profile.stem}.dtso"
        build.rslctl("overlay", "--board", profile.stem, "-o", target)
        say(f"wrote {target.relative_to(machine.REPOSITORY)}")


def run(command: str) -> None:
    """Run a shell command in the board."""
    outcome = qemu.boot(build.board(), command, timeout=1800, show=True)
    if not outcome.passed:
        die(f"ended with status {outcome.status}")


def main() -> None:
    name, *arguments = sys.argv[1:] or [""]
    machine.install()
    if name == "demo":
        demo()
    elif name == "check":
        check(arguments)
    elif name == "shell":
        qemu.shell(build.board())
    elif name == "check-million":
        tests = "/guest/tests/guest/test_mailbox.py"
        run(f"SIMFLOOD_COUNT=1000000 python3 -m pytest -p no:cacheprovider -rP -k exactly {tests}")
    elif name == "overlays":
        overlays()
    elif name == "run" and arguments:
        run(" ".join(arguments))
    else:
        die(f"usage: {__doc__}")


if __name__ == "__main__":
    main()
