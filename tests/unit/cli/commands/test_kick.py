# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl kick``."""

from __future__ import annotations

import json

import pytest
from rslctl.linux import mbox

from tests.command_line import Rslctl
from tests.unit.cli.support import piped
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
    document = {"link": "rpu0", "vector": 1, "kicked": kicked, "notified": None}
    assert (status, json.loads(out)) == (0, document)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "rpu0: kicked vector 3\nrpu0: notified on vector 3\n"),
        (["--json"], {"link": "rpu0", "vector": 3, "kicked": True, "notified": True}),
    ],
)
def test_a_kick_waits_for_its_answer(
    rslctl: Rslctl, machine: Machine, words: list[str], told: object
) -> None:
    """The device is a pipe, so the mask that is written comes back, as from a remote that answers
    each kick.
    """
    with piped(machine):
        status, out, err = rslctl("kick", "3", "--wait", "30", *words, "--root", machine.root)
    assert (status, json.loads(out) if words else out, err) == (0, told, "")


def test_an_answer_that_does_not_come_in_time_ends_with_4(
    rslctl: Rslctl, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbox.Mailbox, "kick", lambda *_: None)
    with piped(machine):
        status, out, err = rslctl("kick", "3", "--wait", "0.05", "--root", machine.root)
    assert (status, out) == (4, "rpu0: kicked vector 3\n")
    assert err == "rslctl: no notification on link 'rpu0' in 0.05 s\n"
    assert rslctl("kick", "3", "--wait", "-1", "--root", machine.root)[0] == 2


def test_a_dry_kick_waits_for_nothing(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    out = "rpu0: would kick vector 3\n"
    words = ("kick", "3", "--dry-run", "--wait", "9", "--root", machine.root)
    assert rslctl(*words) == (0, out, "")
