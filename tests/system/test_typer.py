# SPDX-License-Identifier: BSD-3-Clause
"""The command line with the oldest, the packaged and the newest typer that are admitted.

The packaged one runs with the click of Debian 12, as in the Debian package, and with a click that
came later; that of yocto/meta-rsl with the click of the oldest and of the newest series. Both lack
rich.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rslctl.cli.application import app

from tests.amp import machine

(RANGE,) = (each for each in machine.requirements() if each.startswith("typer"))
(OLDEST, BEHIND) = re.fullmatch(r"typer>=([\d.]+),<([\d.]+)", RANGE).groups()  # type: ignore[union-attr]
(PACKAGED,) = re.findall(
    r"^typer-slim==[\d.]+", (machine.REPOSITORY / "debian/wheels.txt").read_text(), re.MULTILINE
)
(RECIPE,) = (machine.REPOSITORY / "yocto/meta-rsl").rglob("python3-typer-slim_*.bb")
LAYERS = RECIPE.stem.removeprefix("python3-").replace("_", "==")

TYPERS = {
    "oldest": [f"typer=={OLDEST}"],
    "packaged": [PACKAGED, "click==8.1.3", "shellingham"],
    "packaged, with a newer click": [PACKAGED, "click==8.5.1", "shellingham"],
    "layer's, in scarthgap": [LAYERS, "click==8.1.7", "shellingham"],
    "layer's, in blacksail": [LAYERS, "click==8.4.2", "shellingham"],
    "last without a click of its own": ["typer==0.25.1", "click==8.5.1"],
    "newest": [f"typer<{BEHIND}"],
}


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(None, name), *path, name)


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.fixture(scope="session", params=TYPERS)
def python(request: pytest.FixtureRequest) -> Path:
    """An interpreter with one of the typers, and with what the unit tests of rslctl need."""
    others = [each for each in machine.requirements() if not each.startswith("typer")]
    packages = [*TYPERS[request.param], *others, "hypothesis", "pytest"]
    return machine.environment(f"the {request.param} typer", packages)


def shown(python: Path, *words: str) -> str:
    """The help of a command, in 80 columns."""
    return subprocess.run(
        [python, "-m", "rslctl", *words, "-h"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "tools", "COLUMNS": "80"},
        cwd=machine.REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_the_help_of_every_command_is_the_same_text(python: Path) -> None:
    assert len(COMMANDS) > 25
    for words in COMMANDS:
        assert shown(python, *words) == shown(machine.python(), *words), words


def test_the_tests_of_the_command_line_pass(python: Path) -> None:
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/cli"],
        cwd=machine.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
