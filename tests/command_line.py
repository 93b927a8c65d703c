# SPDX-License-Identifier: BSD-3-Clause
"""The command line of this checkout, for the tests on this machine and those in the board."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rslctl.cli.main import main

#: Runs rslctl in this process: exit status, stdout, stderr.
Rslctl = Callable[..., tuple[int, str, str]]

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def rslctl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rslctl:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["rslctl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def write_starter(directory: Path) -> Path:
    """Write a program *rslctl* into a directory, which starts that of this checkout."""
    starter = directory / "rslctl"
    starter.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(TOOLS)!r})\n"
        f"{(TOOLS / 'bin/rslctl').read_text()}"
    )
    starter.chmod(0o755)
    return starter
