# SPDX-License-Identifier: BSD-3-Clause
"""TOML whose mistakes are told by file and line, and files laid over one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.profile import reader, toml

from tests.unit.profile.support import PROFILE, parse, write


def test_mistakes_are_told_where_they_stand_in_whichever_file(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", PROFILE.replace("0x1000000", "0x1000001"))
    mine = write(tmp_path / "mine.toml", 'extends = "base.toml"\n\ncompatible = 3\n')
    with pytest.raises(RslError, match=rf"^{mine}:3: compatible: 3 is not a string"):
        reader.load(str(mine))
    mine.write_text('extends = "base.toml"\n')
    with pytest.raises(RslError, match=rf"^{base}:9: link\[0\]\.memory\.size: 0x1000001 is not"):
        reader.load(str(mine))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[link.mailbox]\ncontroller = '&mu'\ntx = [\n  [2, 0],\n  [2, 1]\n]\nrx = 3\n", 7),
        ('[link.mailbox]\ncontroller = "&mu" # """\n\n\nrx-tx = 3\n', 5),
        ('[link.mailbox]\ncontroller = "&mu" # \u2028\nrx-tx = 3\n', 3),
        ("[link.mailbox]\ncontroler = '&mu'\n", 2),
        ('mailbox = { controller = "&mu", tx = 3 }\n', 1),
        ('"mailbox".controller = "&mu"\nmailbox.rx-tx = 3\n', 2),
    ],
)
def test_a_mistake_is_told_by_its_line(text: str, line: int) -> None:
    head = "description = 'x'\ncompatible = 'y'\n[[link]]\nname = 'a'\n"
    head += "memory = { base = 0, size = 4096 }\n"
    with pytest.raises(RslError) as error:
        parse(head + text)
    assert str(error.value).startswith(f"test.toml:{head.count(chr(10)) + line}: link[0].mailbox.")


def test_what_an_extended_profile_has_can_be_taken_away(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.toml",
        'extends = "zcu102"\n[[link]]\nname = "rpu0"\nremote-dt = false\nfirmware = false\n',
    )
    (link,) = reader.load(str(mine)).links
    assert (link.remote_dt, link.firmware) == (None, None)


@settings(max_examples=200)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_profile_or_refused_in_one_line(text: str) -> None:
    try:
        reader.parse(toml.read(text, "x.toml"), "x")
    except RslError as error:
        assert str(error).startswith("x.toml:")
        assert "\n" not in str(error)


@pytest.mark.parametrize("value", ["0x" + "f" * 4000, "a." * 3000 + "b"])
def test_monstrous_values_are_refused_in_one_line(value: str) -> None:
    text = f"description = {value}\n" if value[0] == "0" else f"description.{value} = 1\n"
    with pytest.raises(RslError) as error:
        reader.parse(toml.read(text, "x.toml"), "x")
    assert str(error.value).startswith("x.toml:1: ")
    assert len(str(error.value)) < 200


KEYS = st.sampled_from(["a", "b", "c"])
LEAVES = st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2) | st.just("text")
TABLES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, LEAVES | inner, max_size=3),
    max_leaves=6,
)


@given(TABLES, TABLES)
def test_a_file_goes_before_the_one_that_it_is_laid_over(
    base: dict[str, Any], top: dict[str, Any]
) -> None:
    def over(below: Any, above: Any) -> Any:
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        kept = {key: value for key, value in below.items() if key not in above}
        return kept | {key: over(below.get(key), value) for key, value in above.items()}

    made = toml.overlay(toml.Document(base), toml.Document(top))
    assert made.values == over(base, top)


def test_tables_of_an_array_are_laid_over_those_of_the_same_name() -> None:
    base = toml.read("[[link]]\nname = 'a'\nx = 1\n[[link]]\nname = 'b'\n", "base.toml")
    top = toml.read("\n[[link]]\nname = 'b'\nx = 2\n[[link]]\nname = 'c'\n", "top.toml")
    made = toml.overlay(base, top)
    assert made.values["link"] == [
        {"name": "a", "x": 1},
        {"name": "b", "x": 2},
        {"name": "c"},
    ]
    assert made.place(("link", 0, "x")) == "base.toml:3"
    assert made.place(("link", 1, "x")) == "top.toml:4"
    assert made.place(("link", 2, "y")) == "top.toml:5"


def test_a_key_that_nobody_asked_for_is_a_mistake() -> None:
    document = toml.read("size = 1\nsizes = 2\n", "x.toml")
    table = toml.Table(document, (), document.values)
    assert table.integer("size", 0, 9) == 1
    with pytest.raises(RslError) as error:
        table.done()
    assert str(error.value) == (
        "x.toml:2: sizes: is not known here; did you mean 'size'?; known: size"
    )
