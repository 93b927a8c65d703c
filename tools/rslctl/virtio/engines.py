# SPDX-License-Identifier: BSD-3-Clause
"""The choice of an engine by the version of the header."""

from __future__ import annotations

from rslctl.virtio.engine import Engine, Identity
from rslctl.virtio.version1 import Version1
from rslctl.virtio.version2 import Version2


def engine(version: int, identity: Identity) -> Engine:
    """Return an engine for a header of *version* 1 or 2.

    Raises:
        ValueError: there is no such version.
    """
    if version == 1:
        return Version1(identity)
    if version == 2:
        return Version2(identity)
    raise ValueError(f"the version is {version}, expected 1 or 2")
