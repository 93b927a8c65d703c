# SPDX-License-Identifier: BSD-3-Clause
"""What bench shows, and what it takes for a run."""

from __future__ import annotations

from pathlib import Path

import pytest
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


def test_only_what_several_runs_have_is_compared() -> None:
    other = document()
    other["paths"] = other["paths"][:1]
    tables = report.comparison([("a", document()), ("b", other)])
    titles = [str(each.title) for each in tables if isinstance(each, Table)]
    assert len(titles) == 3
    assert all(title.startswith("chardev: ") for title in titles)
    assert list(report.comparison([("a", document())])) == []
