# SPDX-License-Identifier: BSD-3-Clause
"""The blocks of the documents that are for the emulated board, run as a reader would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import documents

PLACE = Path("/guest/documents")
DOCUMENTS = [
    path
    for path in documents.find(PLACE)
    if "board" in {each.kind for each in documents.blocks(path)}
]


@pytest.fixture(autouse=True)
def uio() -> Iterator[None]:
    """The board of "make demo" and "make shell" lacks this module, as Debian's kernels do."""
    found = list(Path("/lib/modules").rglob("uio_pdrv_genirq.ko*"))
    hidden = [path.rename(path.with_suffix(".hidden")) for path in found]
    subprocess.run(["depmod"], check=True)
    yield
    for path, now in zip(found, hidden, strict=True):
        now.rename(path)
    subprocess.run(["depmod"], check=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a reader is, which everybody may read as the home of the board's root."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PLACE)))
def test_the_commands_for_the_board(path: Path, directory: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    try:
        with documents.Session(directory, env) as session:
            session.run(path, "board")
    except AssertionError:
        subprocess.run(["rslctl", "teardown"], check=False)
        raise
    assert not Path("/sys/module/rsl_mbox").exists()
