# SPDX-License-Identifier: BSD-3-Clause
"""What setup writes down, and what is said where it is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.setup.journal import Facts, Journal
from rslctl.setup.journal import facts as facts_of

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.support import down, written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entries": [3]}', '{"entries": [{}]}'])
def test_a_damaged_journal_is_named(machine: Machine, text: str) -> None:
    machine.write("/run/rslctl/rpu0.json", text)
    with pytest.raises(RslError, match=r"rpu0\.json' is damaged"):
        down(machine)


def test_facts_that_are_none_are_named(machine: Machine, rslctl: Rslctl) -> None:
    machine.write("/run/rslctl/rpu0.json", json.dumps({"complete": True, "entries": []}))
    machine.with_facts(board="5")
    status, out, _ = rslctl("doctor", "--root", machine.root)
    assert (status, "error: journal:" in out) == (1, True)


def test_what_is_written_twice_stands_once(machine: Machine) -> None:
    journal = Journal(machine.host, "rpu0")
    assert journal.add("driver", {"device": "a"})
    assert not journal.add("driver", {"device": "a"})
    assert journal.add("driver", {"device": "b"})
    assert journal.last("driver") == {"device": "b"}
    assert journal.last("module") is None
    assert journal.has("driver", {"device": "a", "driver": "x"})
    assert not journal.has("driver", {"device": "c"})


def test_a_journal_goes_when_nothing_is_left_to_undo(machine: Machine) -> None:
    journal = Journal(machine.host, "rpu0")
    journal.add("driver", {"device": "a"})
    assert Journal.links(machine.host) == ["rpu0"]
    journal.drop("driver", {"device": "a"})
    assert Journal.links(machine.host) == []
    journal.finish()
    assert Journal.links(machine.host) == ["rpu0"]
    journal.begin_undoing()
    assert Journal.links(machine.host) == []


def test_what_another_link_leaves_is_undone_last(machine: Machine) -> None:
    journal = Journal(machine.host, "rpu0")
    journal.add("driver", {"device": "a"})
    left = {"step": "module", "plan": {"modules": ["rsl_mbox"]}}
    journal.adopt(left)
    journal.adopt(left)
    assert [entry["step"] for entry in journal.entries] == ["module", "driver"]
    assert Journal.load(machine.host, "rpu0").entries == journal.entries


def test_everybody_may_read_what_setup_did(machine: Machine) -> None:
    journal = Journal(machine.host, "rpu0")
    journal.finish()
    assert machine.path(journal.file).stat().st_mode & 0o777 == 0o644


PLANS = st.dictionaries(
    st.sampled_from(["device", "node", "mode"]),
    st.none() | st.text(max_size=5) | st.integers() | st.lists(st.text(max_size=3), max_size=2),
)


@given(st.lists(st.tuples(st.sampled_from(["driver", "owner"]), PLANS), min_size=1, max_size=4))
def test_a_journal_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    host = Host(tmp_path_factory.getbasetemp())
    journal = Journal(host, "rpu0")
    journal.facts = Facts("zcu102", "mailbox", "/n", "rsl", start="setup")
    for step, plan in steps:
        journal.add(step, plan)
    read = Journal.load(host, "rpu0")
    assert (read.entries, read.complete) == (journal.entries, False)
    assert read.facts and vars(read.facts) == vars(journal.facts)


NAMES = list(vars(Facts("", "", "", "")))
#: A path may have bytes that are no UTF-8 and any character but a line break.
TEXT = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"])
    | st.sampled_from('"\\,:{}= \r\udcff'),
    max_size=12,
)


def finished(machine: Machine) -> Journal:
    made = Journal(machine.host, "rpu0")
    made.facts = Facts("qemu-virt", "doorbell", "/a", "rsl", "/remote")
    made.finish()
    return made


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, TEXT)))
def test_facts_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, facts: dict[str, str]
) -> None:
    host = Host(tmp_path_factory.getbasetemp())
    saved = Journal(host, "rpu0")
    saved.facts = Facts(**facts)
    saved.finish()
    read = facts_of(host, "rpu0")
    assert read
    assert vars(read) == facts
    loaded = Journal.load(host, "rpu0")
    assert loaded.complete
    assert loaded.facts
    assert vars(loaded.facts) == facts


def test_a_fact_with_a_line_break_is_refused_before_anything_is_written(machine: Machine) -> None:
    made = Journal(machine.host, "rpu0")
    made.facts = Facts("two\nlines.toml", "doorbell", "/a", "rsl")
    with pytest.raises(RslError, match=r"board of link 'rpu0' has a line break: 'two\\nlines"):
        made.finish()
    assert machine.host.names("/run/rslctl") == []


@pytest.mark.parametrize("text", ["", "board=x\n", "oops\n", "board=x\nwhat=y\n"])
def test_facts_that_setup_did_not_write_are_named_as_damaged(machine: Machine, text: str) -> None:
    finished(machine)
    machine.write("/run/rslctl/rpu0.facts", text)
    with pytest.raises(RslError, match=r"rpu0\.facts' is damaged") as raised:
        Journal.load(machine.host, "rpu0")
    assert raised.value.hint.startswith("remove it")


def test_a_link_that_is_taken_down_leaves_no_file(machine: Machine) -> None:
    made = finished(machine)
    made.add("module", {"modules": []})
    assert machine.host.names("/run/rslctl") == ["rpu0.facts", "rpu0.json"]
    made.begin_undoing()
    made.drop_last()
    assert machine.host.names("/run/rslctl") == []


@pytest.mark.parametrize(
    ("step", "plan"),
    [
        ("owner", {"node": "/etc/shadow2", "inode": 0, "uid": 0, "gid": 0, "mode": 0o666}),
        ("owner", {"node": "/dev/../etc/shadow2", "inode": 0, "uid": 0, "gid": 0, "mode": 0o666}),
        ("owner", {"node": "/dev/uio0", "inode": 0, "uid": 0, "gid": 0, "mode": 0o4755}),
        ("module", {"modules": ["ext4"]}),
        ("module", {"modules": ["rsl_mbox", "../x"]}),
        ("driver", {"device": "../x", "driver": "a", "before": None, "override": None}),
        ("driver", {"device": "a", "driver": "..", "before": None, "override": None}),
        ("driver", {"device": "a", "driver": "b", "before": "c/d", "override": None}),
    ],
)
def test_only_what_setup_could_have_done_is_undone(
    machine: Machine, rslctl: Rslctl, step: str, plan: dict[str, object]
) -> None:
    precious = machine.write("/etc/shadow2", "x")
    precious.chmod(0o600)
    if "inode" in plan:
        plan = {**plan, "inode": precious.stat().st_ino}
    written(machine, "rpu0", {"step": step, "plan": plan})
    status, _, err = rslctl("teardown", "--root", machine.root)
    assert (status, "rpu0.json' is damaged: " in err) == (1, True), err
    assert precious.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_others_could_write_is_not_believed(
    machine: Machine, rslctl: Rslctl
) -> None:
    machine.with_device_tree().with_link()
    written(machine, "rpu0", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    machine.with_facts("rpu0", board="x")
    (machine.root / "run/rslctl").chmod(0o777)
    for command in ("setup --board zcu102", "teardown", "status"):
        status, _, err = rslctl(*command.split(), "--root", machine.root)
        assert "has mode 0777, so others can write" in err, command
        assert status == (command != "status")
