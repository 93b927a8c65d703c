# SPDX-License-Identifier: BSD-3-Clause
"""The overlays of dt-overlays are made by rslctl."""

from __future__ import annotations

import pytest

from tests.command_line import Rslctl
from tests.unit import REPOSITORY
from tests.unit.machine import REAL_BOARDS


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_checked_in_overlays_are_what_rslctl_generates(name: str, rslctl: Rslctl) -> None:
    kept = (REPOSITORY / f"dt-overlays/{name}.dtso").read_text()
    assert rslctl("overlay", "--board", name) == (0, kept, "")
