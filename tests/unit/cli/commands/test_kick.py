# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl kick``."""

from __future__ import annotations

import json

import pytest

from tests.command_line import Rslctl
from tests.unit.machine import Machine


def test_kick_writes_the_mask_of_the_vector(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    assert rslctl("kick", "3", "--root", machine.root) == (0, "rpu0: kicked vector 3\n", "")
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b"\x08\0\0\0"


def test_a_dry_kick_writes_nothing(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    out = "rpu0: would kick vector 3\n"
    assert rslctl("kick", "3", "--dry-run", "--root", machine.root) == (0, out, "")
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


@pytest.mark.parametrize(("dry", "kicked"), [([], True), (["--dry-run"], False)])
def test_a_kick_is_told_as_a_document(
    rslctl: Rslctl, machine: Machine, dry: list[str], kicked: bool
) -> None:
    machine.with_link()
    status, out, _ = rslctl("kick", "1", "--json", *dry, "--root", machine.root)
    document = {"link": "rpu0", "vector": 1, "kicked": kicked}
    assert (status, json.loads(out)) == (0, document)
