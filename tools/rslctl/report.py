# SPDX-License-Identifier: BSD-3-Clause
"""What bench found, as tables and histograms: on a terminal, or as a page of HTML."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from rslctl.bench import percentile

#: Characters that the longest bar of a histogram has.
_BAR = 40
_WIDTH = 110
_MEASURES = {
    "round_trip": "round trip, kick to woken process",
    "wake": "interrupt to woken process",
    "kick": "the kick's call alone",
}


def run(document: dict[str, Any], title: str = "") -> Iterator[RenderableType]:
    """One run: a table and histograms for each measure, kicks in a row, and memory."""
    yield f"{title or 'run'}: link {document['link']}, vector {document['vector']}, " + ", ".join(
        str(document[key]) for key in ("transport", "machine", "kernel")
    )
    for measure, text in _MEASURES.items():
        found = [each for each in document["paths"] if each[measure]]
        if found:
            yield _times([(each["path"], each[measure]) for each in found], text)
    for each in document["paths"]:
        yield _histogram(each["round_trip"], f"{each['path']}: round trips")
    yield _kicks(document["paths"])
    if document["memory"]:
        yield _memory(document["memory"])
    for each in document["paths"]:
        if each["other_notifications"]:
            yield (
                f"{each['path']}: {each['other_notifications']} notifications were no answers: "
                "the remote has something else to say"
            )


def comparison(runs: list[tuple[str, dict[str, Any]]]) -> Iterator[RenderableType]:
    """Several runs by name: for each path and measure, all of them against the first."""
    paths = list(dict.fromkeys(each["path"] for _, run in runs for each in run["paths"]))
    for measure, text in _MEASURES.items():
        for path in paths:
            found = [
                (name, each[measure])
                for name, run in runs
                for each in run["paths"]
                if each["path"] == path and each[measure]
            ]
            if len(found) > 1:
                yield _times(found, f"{path}: {text}")


def html(parts: Iterator[RenderableType]) -> str:
    """A page that needs nothing else, of what a terminal would show."""
    console = Console(
        record=True, file=io.StringIO(), width=_WIDTH, force_terminal=True, legacy_windows=False
    )
    for part in parts:
        console.print(part, highlight=False, markup=False)
    return console.export_html(inline_styles=True)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _times(rows: list[tuple[str, dict[str, Any]]], title: str) -> Table:
    """Percentiles, and the ratio of the medians to the first row's, of all rounds and of each."""
    shares = ("min", "p50", "p90", "p99", "p99.9", "max")
    table = _table(f"{title}, in us", "", *shares, "ratio", "of rounds", "samples")
    first = rows[0][1]
    for name, found in rows:
        ratios = [
            mine / its
            for mine, its in zip(found["p50_of_rounds"], first["p50_of_rounds"], strict=False)
            if its
        ]
        table.add_row(
            name,
            *(f"{found[share] / 1000:.1f}" for share in shares),
            f"{percentile(ratios, 0.5):.2f}" if ratios else "",
            f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else "",
            str(found["samples"]),
        )
    return table


def _histogram(found: dict[str, Any], title: str) -> Table:
    table = _table(title, "from, in us", "samples")
    table.add_column("")
    most = max(count for _, count in found["histogram"])
    for lower, count in found["histogram"]:
        bar = "█" * round(count / most * _BAR) or "▏"
        table.add_row(f"{lower / 1000:.1f}", str(count), bar)
    return table


def _kicks(paths: list[dict[str, Any]]) -> Table:
    table = _table("kicks in a row", "", "a second", "of them coalesced")
    for each in paths:
        coalesced = f"{each['kicks_coalesced'] / each['kicks']:.0%}"
        table.add_row(each["path"], str(each["kicks_per_second"]), coalesced)
    return table


def _memory(copies: list[dict[str, Any]]) -> Table:
    table = _table("memory, in blocks of 64 KiB", "", "MB/s", "to private memory")
    names = {"private": "private memory", "read": "from shared memory", "write": "to shared memory"}
    for each in copies:
        rate = each["bytes_per_second"]
        to_first = f"{rate / copies[0]['bytes_per_second']:.2f}"
        table.add_row(names[each["copy"]], f"{rate / 1e6:.0f}", to_first)
    return table
