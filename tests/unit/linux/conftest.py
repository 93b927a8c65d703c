# SPDX-License-Identifier: BSD-3-Clause
"""An image, and a directory beside it that nothing of the image may lead to."""

from __future__ import annotations

from pathlib import Path

import pytest
from rslctl.linux.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """The image tmp_path/root; the other directory is tmp_path/victim."""
    for name in ("root/boot", "root/real", "victim"):
        (tmp_path / name).mkdir(parents=True)
    return Host(tmp_path / "root")
