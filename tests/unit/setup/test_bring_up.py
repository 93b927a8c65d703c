# SPDX-License-Identifier: BSD-3-Clause
"""Links brought up and taken down, and what of it is in the journal."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from rslctl.errors import RslError
from rslctl.profile import model
from rslctl.setup import bring_up, steps
from rslctl.setup.journal import Journal

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.support import down, journal, target, up, written


def test_what_is_up_already_is_left_alone(machine: Machine) -> None:
    said = up(machine.with_device_tree().with_driver().with_link())
    assert [result for _, result in said] == ["ok"] * 3 + ["already"] * 3 + ["ok"]
    assert json.loads(journal(machine).read_text())["entries"] == []
    assert down(machine) == []
    assert not journal(machine).exists()


def test_a_remote_that_this_kernel_does_not_boot_is_left_to_what_does(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    boots = model.Remoteproc(model.NodeRef("m4", ("/m4",)), "", "daemon")
    known = dataclasses.replace(
        machine.board.links[0], remoteproc=boots, remote=model.RemoteSide(core="k3-m4")
    )

    def steps_of(link: model.Link, firmware: str | None = None) -> list[steps.Step]:
        board = dataclasses.replace(machine.board, links=(link,))
        wanted = dataclasses.replace(target(machine), board=board, link=link)
        return bring_up.steps_for(wanted, firmware)

    last = steps_of(known)[-1]
    assert last.check()
    assert last.describe() == (
        "remote left to what boots it: rpu0: the running device tree has no node &m4 /m4"
    )
    for link, firmware in ((known, "m4.elf"), (dataclasses.replace(known, remote=None), None)):
        with pytest.raises(RslError, match="no node &m4 /m4"):
            steps_of(link, firmware)


def test_a_step_that_fails_leaves_no_entry(machine: Machine) -> None:
    machine.with_device_tree()
    with pytest.raises(RslError, match="'modprobe' would act on this machine"):
        up(machine)
    assert not journal(machine).exists()


def test_a_journal_with_an_unknown_step_is_left_as_it_is(machine: Machine) -> None:
    written(machine, "rpu0", {"step": "magic", "plan": {}})
    with pytest.raises(RslError, match="unknown step 'magic'"):
        down(machine)
    assert [entry["step"] for entry in Journal.load(machine.host, "rpu0").entries] == ["magic"]


def test_an_unknown_owner_is_named() -> None:
    with pytest.raises(RslError, match="unknown user 'nosuch'"):
        bring_up.parse_owner("nosuch")
    with pytest.raises(RslError, match="unknown group 'nosuch'"):
        bring_up.parse_owner("0:nosuch")
    assert bring_up.parse_owner("0") == (0, None)
    assert bring_up.parse_owner("root:0") == (0, 0)


@pytest.mark.parametrize("text", ["99999999999", "4294967295", "0:4294967295"])
def test_an_owner_that_no_file_can_have_is_refused(text: str) -> None:
    with pytest.raises(RslError, match=r"unknown (user|group) '\d+'"):
        bring_up.parse_owner(text)


def test_teardown_of_one_link_leaves_the_module_to_the_other(machine: Machine) -> None:
    written(machine, "rpu0", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    written(machine, "rpu1", {"step": "driver", "plan": {"device": "x"}})
    assert [result for _, result in down(machine)] == ["left to link rpu1"]
    assert not journal(machine).exists()
    kept = json.loads((machine.root / "run/rslctl/rpu1.json").read_text())["entries"]
    assert [each["step"] for each in kept] == ["module", "driver"]


def test_teardown_of_a_link_in_use_undoes_nothing(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/open_files", "2\n")
    with pytest.raises(RslError, match="link 'rpu0' is in use: /dev/rsl_mbox0 is open 2 times"):
        down(machine)
    assert (machine.root / "dev/rsl_mbox0").stat().st_mode & 0o777 == 0o640


def test_a_second_setup_that_fails_leaves_the_link_unfinished(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    before = os.chown
    os.chown = lambda *_: 1 / 0  # type: ignore[assignment]
    try:
        with pytest.raises(ZeroDivisionError):
            up(machine, steps.Ownership(mode=0o600))
    finally:
        os.chown = before
    assert not Journal.load(machine.host, "rpu0").complete


@pytest.mark.parametrize("step", ["driver", "module", "owner", "remote", "recovery"])
def test_a_plan_that_is_none_is_named(machine: Machine, rslctl: Rslctl, step: str) -> None:
    machine.with_device_tree().with_driver().with_link().with_remote("offline")
    written(machine, "rpu0", {"step": step, "plan": {"modules": [], "x": 1}})
    status, _, err = rslctl("teardown", "--root", machine.root)
    assert (status, "rpu0.json' is damaged" in err) == (1, True)


def test_an_owner_of_many_digits_or_none_is_refused(machine: Machine, rslctl: Rslctl) -> None:
    for owner in ("9" * 5000, ""):
        status, _, err = rslctl("setup", "--board", "qemu-virt", "--owner", owner)
        assert (status, "unknown user" in err) == (1, True)
