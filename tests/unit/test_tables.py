# SPDX-License-Identifier: BSD-3-Clause
"""Text in columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rslctl.tables import pairs, table

ROWS = st.integers(1, 4).flatmap(
    lambda count: st.lists(
        st.lists(st.text("abc", min_size=1, max_size=20), min_size=count, max_size=count),
        min_size=1,
        max_size=5,
    )
)


def test_pairs_and_tables_are_in_columns() -> None:
    assert pairs({"a": "1", "long": "2"}) == ["a     1", "long  2"]
    assert table([["a", "b"], ["100", "2"]]) == ["  a  b", "100  2"]
    assert table([["a", "b"], ["100", "2"]], left=(0,)) == ["a    b", "100  2"]
    assert table([["name", "", "c"], ["x", "y", ""]], left=(0,)) == ["name     c", "x     y"]


def test_what_is_too_wide_moves_together_and_then_the_first_column_continues_below() -> None:
    rows = [["", "p50"], ["a-long-name-of-a-run", "1,234"]]
    assert table(rows, left=(0,), width=27) == [
        f"{'':20}    p50",
        "a-long-name-of-a-run  1,234",
    ]
    assert table(rows, left=(0,), width=26) == [f"{'':20}   p50", "a-long-name-of-a-run 1,234"]
    assert table(rows, left=(0,), width=16) == [
        f"{'':10}   p50",
        "a-long-nam 1,234",
        "e-of-a-run",
    ]


@given(ROWS, st.integers(0, 60))
def test_nothing_is_cut(rows: list[list[str]], width: int) -> None:
    lines = table(rows, left=(0,), width=width)
    assert sorted("".join(lines).replace(" ", "")) == sorted("".join(map("".join, rows)))
    for row in rows:
        for cell in row[1:]:
            assert any(cell in line for line in lines)
    if max(map(len, lines)) > width:
        assert max(len(row[0]) for row in rows) <= 8 or width < 8 + sum(
            max(map(len, column)) + 1 for column in list(zip(*rows, strict=True))[1:]
        )
