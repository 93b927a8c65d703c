# SPDX-License-Identifier: BSD-3-Clause
"""The commands and their help."""

from __future__ import annotations

import pytest

from tests.command_line import Rslctl
from tests.unit.cli.support import COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_the_commands(path: tuple[str, ...], rslctl: Rslctl) -> None:
    status, out, _ = rslctl(*path, "--help")
    assert status == 0
    assert f"Example: {' '.join(('rslctl', *path))}" in out
