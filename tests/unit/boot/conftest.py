# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of boot loaders share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: a kill, unlike a loss of power, does not show the difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
