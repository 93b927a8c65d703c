# SPDX-License-Identifier: BSD-3-Clause
"""The two files that setup keeps of a link."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.setup import journal

from tests.unit.machine import Machine

NAMES = list(vars(journal.Facts("", "", "", "")))
#: A path may have bytes that are no UTF-8 and any character but a line break.
TEXT = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"])
    | st.sampled_from('"\\,:{}= \r\udcff'),
    max_size=12,
)


def written(machine: Machine) -> journal.Journal:
    made = journal.Journal(machine.host, "rpu0")
    made.facts = journal.Facts("qemu-virt", "doorbell", "/a", "rsl", "/remote")
    made.finish()
    return made


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, TEXT)))
def test_facts_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, facts: dict[str, str]
) -> None:
    host = Host(tmp_path_factory.getbasetemp())
    saved = journal.Journal(host, "rpu0")
    saved.facts = journal.Facts(**facts)
    saved.finish()
    read = journal.facts(host, "rpu0")
    assert read
    assert vars(read) == facts
    loaded = journal.Journal.load(host, "rpu0")
    assert loaded.complete
    assert loaded.facts
    assert vars(loaded.facts) == facts


def test_a_fact_with_a_line_break_is_refused_before_anything_is_written(machine: Machine) -> None:
    made = journal.Journal(machine.host, "rpu0")
    made.facts = journal.Facts("two\nlines.toml", "doorbell", "/a", "rsl")
    with pytest.raises(RslError, match=r"board of link 'rpu0' has a line break: 'two\\nlines"):
        made.finish()
    assert machine.host.names("/run/rslctl") == []


@pytest.mark.parametrize("text", ["", "board=x\n", "oops\n", "board=x\nwhat=y\n"])
def test_facts_that_setup_did_not_write_are_named_as_damaged(machine: Machine, text: str) -> None:
    written(machine)
    machine.write("/run/rslctl/rpu0.facts", text)
    with pytest.raises(RslError, match=r"rpu0\.facts' is damaged") as raised:
        journal.Journal.load(machine.host, "rpu0")
    assert raised.value.hint.startswith("remove it")


def test_a_link_that_is_taken_down_leaves_no_file(machine: Machine) -> None:
    made = written(machine)
    made.add("module", {"modules": []})
    assert machine.host.names("/run/rslctl") == ["rpu0.facts", "rpu0.json"]
    made.begin_undoing()
    made.drop_last()
    assert machine.host.names("/run/rslctl") == []
