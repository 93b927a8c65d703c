# SPDX-License-Identifier: BSD-3-Clause
"""rsl_remote.h against devices that write anything anywhere in the shared memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.rsl_remote.support import MAD, built


@pytest.fixture(scope="module")
def mad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(MAD, tmp_path_factory.mktemp("mad"))


def test_a_mad_device_harms_nothing_but_itself(mad: Path) -> None:
    """Both versions, and degrees of madness, come by seed."""
    totals = [0] * 10
    for seed in range(1, 11):
        done = subprocess.run(
            [mad, str(seed), "1000"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), seed
        totals = [a + int(b) for a, b in zip(totals, done.stdout.split(), strict=True)]
    # Success, and all that can be returned: each was reached.
    assert all(totals[:9]), totals
    assert sum(totals) == 10 * 1000
