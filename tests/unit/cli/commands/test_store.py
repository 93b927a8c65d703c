# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl store``."""

from __future__ import annotations

import pytest
from rslctl.cli.commands import store
from rslctl.daemon import fdstore
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.unit.machine import Machine


@pytest.fixture
def here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that the command takes for the one that it runs on."""
    monkeypatch.setattr(store, "host", lambda _: machine.host)
    return machine


@pytest.mark.parametrize(("done", "said"), [(True, "kept"), (False, "kept already")])
def test_what_is_kept_is_told_by_its_names(
    here: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch, done: bool, said: str
) -> None:
    asked: list[str] = []

    def keep(_: Host, unit: str, __: object) -> bool:
        asked.append(unit)
        return done

    here.with_link(vectors=1)
    monkeypatch.setattr(fdstore, "keep", keep)
    names = "shmem notify0 kick0 manifest"
    assert rslctl("store", "--unit", "a@b.service", "--eventfd") == (
        0,
        f"rpu0: {said} for a@b.service: {names}\n",
        "",
    )
    assert asked == ["a@b.service"]


def test_outside_a_unit_it_says_what_it_is_for(
    here: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    here.with_link()
    status, out, err = rslctl("store", "--unit", "x.service")
    assert (status, out) == (1, "")
    assert "NOTIFY_SOCKET is not set\nhint: this is for ExecStartPre= of a unit" in err


def test_without_a_link_nothing_is_kept(here: Machine, rslctl: Rslctl) -> None:
    status, _, err = rslctl("store", "--unit", "x.service")
    assert (status, "no link is up" in err) == (1, True)
    assert rslctl("store")[0] == 2
