# SPDX-License-Identifier: BSD-3-Clause
"""A program with rsl_remote.h, and links that it is at the other end of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.rsl_remote.support import DRIVER, Link, built

MakeLink = Callable[..., Link]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(DRIVER, tmp_path_factory.mktemp("rsl_remote"))


@pytest.fixture
def make_link(program: Path) -> Iterator[MakeLink]:
    """Makes a link of a version, with a number of vectors."""
    links: list[Link] = []

    def make(version: int, vectors: int = 1) -> Link:
        links.append(Link(program, version, vectors))
        return links[-1]

    yield make
    for link in links:
        link.close()
