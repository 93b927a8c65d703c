# SPDX-License-Identifier: BSD-3-Clause
"""A program with rsl.h, and the other end of its link."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.librsl.support import DRIVER, World, built


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(DRIVER, tmp_path_factory.mktemp("librsl"))


@pytest.fixture
def fds() -> Iterator[Callable[..., int]]:
    """Keeps descriptors, which it returns, until the test is over."""
    kept: list[int] = []

    def keep(fd: int) -> int:
        kept.append(fd)
        return fd

    yield keep
    for fd in kept:
        os.close(fd)


@pytest.fixture
def world(driver: Path, tmp_path: Path, fds: Callable[..., int]) -> Iterator[World]:
    world = World(driver, tmp_path, fds)
    yield world
    world.remote.close()
    for link in world.links:
        link.end()
