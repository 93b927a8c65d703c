# SPDX-License-Identifier: BSD-3-Clause
"""Which engine serves which version."""

from __future__ import annotations

import pytest
from rslctl.virtio.engines import engine
from rslctl.virtio.version1 import Version1
from rslctl.virtio.version2 import Version2

from tests.unit.virtio.firmware import Shared, identity


def test_each_version_has_an_engine_that_publishes_it() -> None:
    assert isinstance(engine(1, identity()), Version1)
    assert isinstance(engine(2, identity()), Version2)
    assert [Shared.of(version).read(0x04) for version in (1, 2)] == [1, 2]


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="the version is 3, expected 1 or 2"):
        engine(3, identity())
