# SPDX-License-Identifier: BSD-3-Clause
"""What bench shows, and what it takes for a run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rslctl.bench import report

from tests.command_line import Rslctl
from tests.unit.bench.support import document, spoiled


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ("\xff", "codec"),
        ("[]", "the document is no object"),
        ("{}", "the document has no 'link'"),
        (spoiled("paths", value=[]), "paths is empty"),
        (spoiled("paths", 0, "path", value=5), "path is no text"),
        (spoiled("link", value="\x1b[31m"), "link is no text"),
        (spoiled("paths", 0, "kicks", value=0), "kicks is no number from 1 on"),
        (spoiled("paths", 0, "wake", "p50", value=10**400), "p50 is no number from 0 on"),
        (spoiled("paths", 1, "round_trip", value=None), "round_trip is no object"),
        (spoiled("paths", 1, "kick", "histogram", value=[[1, -1]]), "is no number from 0 on"),
        (spoiled("paths", 1, "kick", "histogram", value=[[]]), "has 0 values, not 2"),
        (spoiled("paths", 1, "kick", "histogram", value=[[351]]), "has 1 values, not 2"),
        (spoiled("memory", 0, "bytes_per_second", value=0), "is no number from 1 on"),
        (spoiled("memory", 0, "block", value=True), "block is no number from 1 on"),
    ],
)
def test_what_is_no_run_is_named(rslctl: Rslctl, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin1"))
    status, out, err = rslctl("bench", str(path))
    assert (status, out) == (1, "")
    assert err.startswith(f"rslctl: '{path}' is no run of rslctl bench: ")
    assert why in err
    status, _, err = rslctl("bench", str(tmp_path / "none.json"))
    assert (status, "No such file" in err) == (1, True)


def test_a_page_of_a_run_without_memory_says_nothing_of_it() -> None:
    assert "MB/s" not in report.html(report.run(document(memory=False)))
    assert "MB/s" in report.html(report.run(document()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to all values in a document, but for its own."""
    below: dict[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        below = dict(enumerate(value))
    found = [each for key, inner in below.items() for each in places(inner, (*path, key))]
    return [path, *found] if path else found


@given(st.sampled_from(places(document())), JSON)
def test_whatever_a_run_holds_it_is_shown_or_refused(path: tuple[Any, ...], value: Any) -> None:
    spoilt = copy.deepcopy(document())
    place: Any = spoilt
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        report.check(spoilt)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert report.html(report.run(spoilt))


def test_only_what_several_runs_have_is_compared() -> None:
    other = document()
    other["paths"] = other["paths"][:1]
    tables = report.comparison([("a", document()), ("b", other)])
    titles = [str(each.title) for each in tables if isinstance(each, Table)]
    assert len(titles) == 3
    assert all(title.startswith("chardev: ") for title in titles)
    assert list(report.comparison([("a", document())])) == []
