# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl bench`` with runs that are there already."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.command_line import Rslctl
from tests.unit.bench.support import document, spoiled
from tests.unit.bench.support import runs as runs


def test_runs_are_compared_with_the_first_round_by_round(rslctl: Rslctl, runs: list[str]) -> None:
    status, out, err = rslctl("bench", *runs)
    assert (status, err) == (0, "")
    row = re.search(r"^after +2\.7 +3\.3 .* 3\.00 +3\.00-3\.00 +8$", out, re.MULTILINE)
    assert row, out
    assert "uio: interrupt" not in out


def test_the_report_is_a_page_that_needs_nothing_else(
    rslctl: Rslctl, runs: list[str], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    status, out, _ = rslctl("bench", *runs, "--report", str(page))
    assert (status, out) == (0, "")
    text = page.read_text()
    assert "before" in text and "after" in text
    assert not re.search(r"(src|href)=|@import|url\(|<script", text)


def test_one_run_can_be_shown_and_printed(rslctl: Rslctl, runs: list[str]) -> None:
    status, out, _ = rslctl("bench", runs[0], "--json")
    assert (status, json.loads(out)) == (0, [document()])
    _, out, _ = rslctl("bench", runs[0])
    assert "of them coalesced" in out
    assert "from shared memory" in out


def test_names_in_a_run_are_shown_as_they_are(rslctl: Rslctl, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(spoiled("paths", 0, "path", value="[/red]"))
    status, out, _ = rslctl("bench", str(path))
    assert (status, "[/red]: round trips" in out) == (0, True)


def test_runs_of_the_same_name_are_told_apart(
    rslctl: Rslctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("a/run.json"), Path("b/run.json")):
        path.parent.mkdir()
        path.write_text(json.dumps(document()))
    _, out, _ = rslctl("bench", "a/run.json", "b/run.json")
    assert "\na/run.json: link rpu0" in out
    assert "\nb/run.json: link rpu0" in out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--path", "pigeon"], "--path: 'pigeon' is not one of chardev, eventfd, sysfs, uio"),
        (["--count", "0"], "'--count'"),
        (["--rounds", "x"], "'--rounds'"),
        (["--write-at", "here"], "'here' is no number of bytes, as 0x1000"),
        (["--report", "/no/such/x.html"], "--report: '/no/such' is no directory to write to"),
        (["a.json", "--count", "5"], "do not go with runs to compare"),
    ],
)
def test_a_measurement_that_makes_no_sense_ends_with_2(
    rslctl: Rslctl, arguments: list[str], wanted: str
) -> None:
    status, out, err = rslctl("bench", *arguments)
    assert (status, out) == (2, "")
    assert wanted in " ".join(err.split())
