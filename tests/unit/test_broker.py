# SPDX-License-Identifier: BSD-3-Clause
"""The broker: who gets what, and what the others can do to it. Its links are played here."""

from __future__ import annotations

from tests.command_line import Rslctl
from tests.unit.machine import Machine


def test_serve_without_a_link_says_how_to_get_one(rslctl: Rslctl, machine: Machine) -> None:
    status, _, err = rslctl("serve", "--root", machine.root)
    assert (status, "bring it up with: rslctl setup" in err) == (1, True)
