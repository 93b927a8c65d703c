# SPDX-License-Identifier: BSD-3-Clause
"""What a boot loader reads, and lines added to what it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.boot.view import View, listed, settings, with_line
from rslctl.errors import RslError

from tests.unit.machine import Machine

_LINES = st.lists(
    st.one_of(
        st.text("abc019#=./ \t-", max_size=12),
        st.builds(
            "{}={}".format, st.sampled_from(["a", "overlays", "b"]), st.text("xyz ", max_size=5)
        ),
    ),
    max_size=6,
)


@given(_LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_name_gets_into_a_list_once_and_nothing_else_changes(
    lines: list[str], end: str, ended: bool
) -> None:
    text = end.join(lines) + end * ended
    before = {key: value for key, (_, value) in settings(text).items()}
    made = listed(text, "overlays", "mine")
    after = {key: value for key, (_, value) in settings(made).items()}
    words = before.pop("overlays", "").split()
    assert after.pop("overlays").split() == [*words, "mine"]
    assert after == before
    assert listed(made, "overlays", "mine") == made


def test_a_line_is_added_behind_one_that_does_not_end() -> None:
    assert with_line("", "x") == "x\n"
    assert with_line("a", "x") == "a\nx\n"
    assert with_line("a\r\nb", "x") == "a\r\nb\r\nx\r\n"


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("", ["/x/y"]),
        ("/boot", ["/x/y", "/boot/x/y"]),
        ("/boot/firmware", ["/boot/firmware/x/y", "/x/y"]),
        ("/media/BOOT", ["/media/BOOT/x/y", "/x/y"]),
    ],
)
def test_a_path_counts_from_the_partition(
    machine: Machine, folder: str, expected: list[str]
) -> None:
    view = View(machine.host)
    assert view.on_partition(folder, "x/y") == view.on_partition(folder, "/x/y") == expected


def test_a_link_is_followed_and_one_that_leads_to_itself_is_told(machine: Machine) -> None:
    machine.write("/boot/dtb-1", "")
    machine.path("/boot/dtb").symlink_to("dtb-1")
    view = View(machine.host)
    assert view.resolve("/boot/dtb") == "/boot/dtb-1"
    link = machine.root / "boot/loop"
    link.symlink_to("loop")
    with pytest.raises(RslError, match="leads to itself"):
        view.resolve("/boot/loop")
