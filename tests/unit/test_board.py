# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: what is accepted, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl import board
from rslctl.errors import RslError

PROFILE = """\
description = "a board"
compatible = "vendor,board"

[[link]]
name = "rpu0"

[link.memory]
base = 0x70000000
size = 0x1000000

[link.doorbell]
register = 0x8020040
kick-values = [80, 81]
spis = [90, 91]
trigger = "edge-rising"
"""


def parse(text: str) -> board.Board:
    return board.parse(text, name="test", source="test.toml")


def test_a_profile_is_read() -> None:
    made = parse(PROFILE)
    assert made == board.Board(
        name="test",
        description="a board",
        compatible="vendor,board",
        disable=(),
        links=(
            board.Link(
                name="rpu0",
                memory=board.Region(0x70000000, 0x1000000),
                firmware=None,
                doorbell=board.Doorbell(0x8020040, (80, 81), (90, 91), "edge-rising"),
            ),
        ),
    )
    assert made.links[0].vectors == 2


@pytest.mark.parametrize("name", board.built_in())
def test_the_profiles_that_come_with_rslctl_are_read(name: str) -> None:
    assert board.load(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[link]]", "[[link", "test.toml: is not TOML: "),
        ('description = "a board"', "", "test.toml: description: is missing, expected a string"),
        ('description = "a', 'descripton = "a', "expected a string; is it 'descripton'?"),
        ('"a board"', '"a\\u0007board"', "description: 'a\\x07board' is not a line of text"),
        ("compatible =", "x = 1\ncompatible =", "test.toml: x: is not known here; known: "),
        ('"vendor,board"', "3", "test.toml: compatible: 3 is not a string"),
        ("[[link]]", "[link]", "test.toml: link: {"),
        ('"rpu0"', '"RPU 0"', "test.toml: link[0].name: 'RPU 0' is not 1 to 31 of a-z"),
        ('"rpu0"', '"' + "a" * 32 + '"', "is not 1 to 31 of a-z"),
        ("base = 0x7", "bass = 0x7", "memory.base: is missing, expected an integer; is it 'b"),
        ("0x1000000", "0x1000001", "link[0].memory.size: 0x1000001 is not a multiple of 0x1000"),
        ("0x1000000", "0", "link[0].memory.size: 0x0 is not between 0x1 and 0xffffffffffffffff"),
        ("0x1000000", "true", "link[0].memory.size: True is not an integer"),
        ("0x70000000", "-4096", "link[0].memory.base: -0x1000 is not between 0x0 and"),
        ("0x70000000", "0x70000000\nx = 2", "link[0].memory.x: is not known here"),
        ("0x8020040", "0x8020041", "doorbell.register: 0x8020041 is not a multiple of 4"),
        ("[80, 81]", "[]", "doorbell.kick-values: has 0 values, expected 1 to 32"),
        ("[80, 81]", str([1] * 33), "doorbell.kick-values: has 33 values, expected 1 to 32"),
        ("[80, 81]", "[80, 4294967296]", "doorbell.kick-values: 0x100000000 is not between"),
        ("[90, 91]", "[90]", "doorbell.spis: has 1 interrupts, but kick-values has 2 vectors"),
        ("[90, 91]", "[90, 90]", "doorbell.spis: has an interrupt twice"),
        ("[90, 91]", "[90, 988]", "doorbell.spis: 0x3dc is not between 0x0 and 0x3db"),
        ("[90, 91]", '[90, "x"]', "doorbell.spis: 'x' is not an integer"),
        ('"edge-rising"', '"rising"', "doorbell.trigger: 'rising' is not one of 'edge-rising', "),
        ('compatible = "', 'disable = ["soc"]\ncompatible = "', "disable: 'soc' is not a path"),
        (
            "[link.doorbell]",
            "[link.firmware]\nbase = 0x70fff000\nsize = 0x2000\n[link.doorbell]",
            "link[0].firmware: 0x70fff000, 0x2000 bytes, overlaps memory at 0x70000000",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(old: str, new: str, message: str) -> None:
    assert old in PROFILE
    with pytest.raises(RslError) as error:
        parse(PROFILE.replace(old, new))
    assert message in str(error.value)


def test_two_links_need_two_names() -> None:
    link = PROFILE[PROFILE.index("[[link]]") :]
    with pytest.raises(RslError, match=r"link\.name: 'rpu0' is given to more than one link"):
        parse(PROFILE + link)
    made = parse(PROFILE + link.replace("rpu0", "rpu1"))
    with pytest.raises(RslError, match=r"board 'test' has several links: rpu0, rpu1"):
        made.link(None)
    assert made.link("rpu1").name == "rpu1"


def test_an_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(RslError, match="unknown board 'qemu-vrit'") as error:
        board.load("qemu-vrit")
    assert error.value.hint.startswith("did you mean 'qemu-virt'? known boards: ")
    for name in board.built_in():
        assert name in error.value.hint


def test_a_profile_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(RslError, match=r"cannot read board profile '.*x.toml': No such file"):
        board.load(str(tmp_path / "x.toml"))
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RslError, match=r"y\.toml: is not UTF-8 text"):
        board.load(str(tmp_path / "y.toml"))


values = st.recursive(
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.integers(-5, 2**65),
        st.booleans(),
        st.floats(),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value)


@given(st.sampled_from(PROFILE.splitlines()), values)
def test_whatever_a_key_holds_a_profile_is_read_or_refused_in_one_line(
    line: str, value: object
) -> None:
    key, equals, _ = line.partition(" = ")
    changed = f"{key} = {toml(value)}" if equals else ""
    try:
        parse(PROFILE.replace(line, changed, 1))
    except RslError as error:
        assert str(error).startswith("test.toml: ")
        assert "\n" not in str(error)
