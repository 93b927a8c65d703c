# SPDX-License-Identifier: BSD-3-Clause
"""Every finding of the doctor, provoked; docs/reference/doctor.md lists them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rslctl.devicetree import tree
from rslctl.linux.host import Host
from rslctl.profile import model
from rslctl.setup import (
    checks,
    doctor,
    host_checks,
    ivshmem_checks,
    remote_checks,
    virtio_checks,
)
from rslctl.setup.checks import Finding
from rslctl.virtio import headers

from tests.command_line import Rslctl
from tests.unit import REPOSITORY
from tests.unit.machine import Machine
from tests.unit.setup.faults import (
    LINK,
    PROVOKED,
    Provoke,
    gone,
    log,
    no_tree,
    other_board,
    restarted,
    silent,
    whole,
)

DOCUMENT = REPOSITORY / "docs/reference/doctor.md"


def look(machine: Machine, profile: model.Board | None = None) -> list[Finding]:
    profile = profile or machine.board
    now = tree.from_machine(machine.host)
    patient = doctor.Patient(machine.host, profile, profile.links, now, headers=headers.read)
    return doctor.look(patient)


@pytest.mark.parametrize(("check", "level", "provoke", "text"), PROVOKED)
def test_what_is_wrong_is_found(
    machine: Machine, check: str, level: str, provoke: Provoke, text: str
) -> None:
    assert look(whole(machine)) == []
    profile = provoke(machine)
    found = [each for each in look(machine, profile) if each.check == check]
    assert [each.level for each in found[:1]] == [level]
    assert any(text in each.text for each in found), found
    assert all(each.remedy for each in found)


def test_random_numbers_that_are_not_ready_are_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_ready(size: int, flags: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(os, "getrandom", not_ready)
    patient = doctor.Patient(Host(), None, (), tree.Tree("", {}))
    assert "entropy" in {each.check for each in doctor.look(patient)}


def test_a_link_that_one_may_not_open_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(machine)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    (found,) = look(machine)
    assert (found.check, found.level) == ("permission", "error")


def test_a_healthy_board_with_a_remote_has_no_finding(machine: Machine) -> None:
    whole(machine).with_journal({"remoteproc": "/remote", "start": "setup"})
    machine.with_remote("attached", "unknown")
    machine.write("/sys/class/remoteproc/remoteproc0/recovery", "disabled\n")
    machine.path("/lib/firmware/unknown").unlink()
    assert look(machine) == []


def test_a_remote_that_ran_before_its_daemon_is_told(machine: Machine) -> None:
    whole(machine).with_journal({"remoteproc": "/remote"})
    machine.with_remote("running").write(f"{LINK}/open_files", "1\n")
    assert "remote-alone" in {each.check for each in look(machine)}


@pytest.mark.parametrize(
    ("starts", "found"), [((700,), []), ((), []), ((690, 800), []), ((700, 800), ["error"])]
)
def test_a_remote_that_somebody_else_started_again_is_told(
    machine: Machine, starts: tuple[int, ...], found: list[str]
) -> None:
    restarted(whole(machine))
    machine.write("/sys/class/remoteproc/remoteproc0/recovery", "disabled\n")
    log(machine, *starts)
    levels = [each.level for each in look(machine) if each.check == "remote-restarted"]
    assert levels == found


def test_a_log_that_may_not_be_read_leaves_the_restarts_unknown(machine: Machine) -> None:
    restarted(whole(machine))
    machine.path("/dev/kmsg").unlink()
    (found,) = [each for each in look(machine) if each.check == "remote-restarted"]
    assert (found.level, "cannot read the kernel's log" in found.text) == ("unknown", True)


@pytest.mark.parametrize("provoke", [no_tree, other_board])
def test_nothing_is_said_of_the_links_of_a_board_that_it_is_not(
    machine: Machine, provoke: Provoke
) -> None:
    provoke(whole(machine))
    (found,) = look(machine)
    assert found.check in ("no-tree", "board")
    if provoke is other_board:
        assert found.remedy == "give the board that it is: --board zcu102"


@pytest.mark.parametrize("state", ["running", "offline"])
def test_kicks_of_a_remote_that_is_stopped_by_now_are_no_sign(machine: Machine, state: str) -> None:
    whole(machine).with_journal({"remoteproc": "/remote", "start": "setup"}).with_remote(state)
    silent(machine)
    machine.write(f"{LINK}/open_files", "0\n")
    assert ("stalled" in {each.check for each in look(machine)}) == (state == "running")


def test_one_link_is_looked_at_alone(machine: Machine, rslctl: Rslctl) -> None:
    whole(machine).with_journal({})
    gone(machine)
    board = machine.board
    now = tree.from_machine(machine.host)
    patient = doctor.Patient(machine.host, board, board.links, now, only="rpu1")
    assert "link-gone" not in {each.check for each in doctor.look(patient)}
    machine.path("/run/rslctl/rpu0.json").unlink()
    status, _, err = rslctl("doctor", "--link", "rpu1", "--root", machine.root)
    assert (status, "without a board, no link is known" in err) == (2, True)


def test_the_document_lists_what_is_found_and_every_finding_is_provoked() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    provoked = {check for check, _, _, _ in PROVOKED} | {"entropy", "permission", "run"}
    modules = (doctor, checks, host_checks, ivshmem_checks, remote_checks, virtio_checks)
    source = "".join(Path(str(each.__file__)).read_text() for each in modules)
    named = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    # What is installed for the boot loader is looked at by rslctl.boot.installed.
    assert listed - {"stale"} == provoked == named
