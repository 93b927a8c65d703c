# SPDX-License-Identifier: BSD-3-Clause
"""What bench shows, and what it takes for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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
    lines = list(report.comparison([("a", document()), ("b", other)]))
    titles = [line for line in lines if line.endswith("in \u00b5s")]
    assert len(titles) == 3
    assert all(title.startswith("chardev: ") for title in titles)
    assert list(report.comparison([("a", document())])) == []


def shown(*runs: tuple[str, Any]) -> str:
    """What a terminal of 80 columns shows of a run, or of the comparison of several."""
    lines = report.comparison(list(runs), 80) if len(runs) > 1 else report.run(runs[0][1], "", 80)
    return "\n".join(lines)


def test_80_columns_are_enough() -> None:
    run = document(12_345)
    times = {**run["paths"][0]["round_trip"], "max": 1_234_567_000, "samples": 25_000}
    run["paths"][0].update(round_trip=times, kicks_coalesced=None)
    lines = [line.rstrip() for line in shown(("", run)).splitlines()]
    row = "chardev 11,110 13,580 61,725 61,725 61,725 1,234,567 1.00 1.00-1.00 25,000"
    assert row in [" ".join(line.split()) for line in lines]
    assert not [line for line in lines if "\u2026" in line or len(line) > 80]
    assert [line.split() for line in lines if line.endswith("\u2013")] == [
        ["chardev", "10", "\u2013"]
    ]


def test_a_long_name_continues_below() -> None:
    name = "a-rather-long-name-of-a-run-with-preempt-rt"
    lines = shown(("a", document(12_345)), (name, document(12_345))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("a-r"))
    width = len(lines[at].split()[0])
    assert "".join(line[:width].strip() for line in lines[at : at + 4]).startswith(name)
    assert "\u2026" not in "".join(lines)


def test_a_blank_line_is_between_sections_only() -> None:
    for text in (shown(("", document())), shown(("a", document()), ("b", document()))):
        sections = [part.strip("\n") for part in text.split("\n\n")]
        assert all(sections) and len(sections) > 4
        assert not text.startswith("\n")


@pytest.mark.parametrize(
    ("encoding", "wanted"), [("utf-8", "µs"), ("ascii", "us"), ("latin-1", "us")]
)
def test_what_an_output_cannot_show_has_another_form(encoding: str, wanted: str) -> None:
    lines = shown(("", document())).splitlines()
    text = "\n".join(report.in_encoding(line, encoding) for line in lines)
    text.encode(encoding)
    assert text.count(f"in {wanted}") == 5
    assert ("█" in text, "#" in text) == (wanted == "µs", wanted == "us")
