# SPDX-License-Identifier: BSD-3-Clause
"""The programs of this machine that tests run, which may be missing."""

from __future__ import annotations

import shutil

import pytest

needs_dtc = pytest.mark.skipif(
    not shutil.which("dtc") or not shutil.which("fdtoverlay"),
    reason="dtc and fdtoverlay are missing: package device-tree-compiler",
)
needs_mkimage = pytest.mark.skipif(
    not shutil.which("mkimage"), reason="mkimage is missing: package u-boot-tools"
)


def there(program: str) -> str:
    """The path of a program; the test is skipped where there is none."""
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is missing")
    return found
