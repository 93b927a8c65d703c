# SPDX-License-Identifier: BSD-3-Clause
"""What the unit tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings
from rslctl.cli.main import main

from tests.unit.machine import Machine, Rslctl

# A busy machine must not decide whether a test passes.
settings.register_profile("rsl", deadline=None)
settings.load_profile("rsl")


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


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
