# SPDX-License-Identifier: BSD-3-Clause
"""What the unit tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.command_line import rslctl as rslctl
from tests.command_line import write_starter
from tests.unit.machine import Machine

# A busy machine must not decide whether a test passes.
settings.register_profile("rsl", deadline=None)
settings.load_profile("rsl")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def search_path(tmp_path: Path) -> str:
    """A PATH with this checkout's rslctl."""
    (tmp_path / "bin").mkdir()
    return f"{write_starter(tmp_path / 'bin').parent}:{os.environ['PATH']}"
