# SPDX-License-Identifier: BSD-3-Clause
"""A program of 32 bits uses every call of a link, and so does the same program of 64."""

from __future__ import annotations

import subprocess

import pytest
from rslctl.linux import mbox


@pytest.mark.parametrize(("program", "bits"), [("compat32.armhf", 32), ("compat32", 64)])
def test_every_call_does_the_same_for_programs_of_32_and_64_bits(
    link: mbox.LinkDevice, program: str, bits: int
) -> None:
    umb = link.node.replace("rsl_mbox", "rsl_umb")
    done = subprocess.run(
        [f"/guest/bin/{program}", link.node, umb], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{bits} bits: ")
    assert done.stdout.endswith(" checks passed, 0 failed\n")
    print(done.stdout)
