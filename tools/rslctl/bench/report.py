# SPDX-License-Identifier: BSD-3-Clause
"""Show measurements as tables and histograms on a terminal. The page of HTML is page.py's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from rslctl.bench.measure import percentile

#: Length of the longest bar of a histogram, in characters.
_BAR = 40
#: The measures, in words.
MEASURES = {
    "round_trip": "round trip, kick to woken process",
    "wake": "interrupt to woken process",
    "kick": "the kick's call alone",
}
#: The copies of memory, in words.
COPIES = {"private": "private memory", "read": "from shared memory", "write": "to shared memory"}
#: Stands for what is not known.
UNKNOWN = "\u2013"
#: What an output shows that has not all of these characters.
_ASCII = str.maketrans({"\u00b5": "u", "\u2588": "#", "\u258f": "|", UNKNOWN: "-"})

_TIMES = {
    **dict.fromkeys(("min", "p50", "p90", "p99", "p99.9", "max"), 0),
    "samples": 1,
    "p50_of_rounds": [0],
    "histogram": [[0, 0]],
}
#: The form of a run. A number is the least one that is allowed, a tuple has what may be null. A
#: list of one item is any number of such items, a longer list exactly these items.
_RUN = {
    **dict.fromkeys(("link", "transport", "machine", "kernel", "date"), str),
    "board": (str,),
    "vector": 0,
    "paths": [
        {
            "path": str,
            "kick": (_TIMES,),
            "round_trip": _TIMES,
            "wake": (_TIMES,),
            "kicks": 1,
            "kicks_per_second": 0,
            "kicks_coalesced": (0,),
            "other_notifications": 0,
        }
    ],
    "memory": [{"copy": str, "block": 1, "bytes_per_second": 1}],
}


def check(document: Any) -> None:
    """Check that a document is a run.

    Raises:
        ValueError: it is not a run. The message names what is wrong.
    """
    _check(document, _RUN, "the document")
    if not document["paths"]:
        raise ValueError("paths is empty")


def _check(value: Any, wanted: Any, what: str) -> None:
    """Check a value against an entry of :data:`_RUN`."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{what} is no object")
        for key, kind in wanted.items():
            if key not in value:
                raise ValueError(f"{what} has no {key!r}")
            _check(value[key], kind, key)
    elif isinstance(wanted, list):
        _check_list(value, wanted, what)
    elif not isinstance(wanted, tuple):
        _check_scalar(value, wanted, what)
    elif value is not None:
        _check(value, wanted[0], what)


def _check_list(value: Any, wanted: list[Any], what: str) -> None:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    if len(wanted) > 1 and len(value) != len(wanted):
        raise ValueError(f"{what} has {len(value)} values, not {len(wanted)}")
    kinds = wanted if len(wanted) > 1 else wanted * len(value)
    for each, kind in zip(value, kinds, strict=True):
        _check(each, kind, f"an item of {what}")


def _check_scalar(value: Any, wanted: Any, what: str) -> None:
    if wanted is str:
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{what} is no text")
    elif type(value) not in (int, float) or not wanted <= value < 1e18:
        raise ValueError(f"{what} is no number from {wanted} on")


def run(document: dict[str, Any], title: str = "") -> Iterator[RenderableType]:
    """Show one run: a table and histograms per measure, kicks in a row, and memory."""
    yield f"{title or 'run'}: link {document['link']}, vector {document['vector']}, " + ", ".join(
        str(document[key]) for key in ("transport", "machine", "kernel")
    )
    for measure, text in MEASURES.items():
        found = [each for each in document["paths"] if each[measure]]
        if found:
            yield ""
            yield _times([(each["path"], each[measure]) for each in found], text)
    for each in document["paths"]:
        yield ""
        yield _histogram(each["round_trip"], f"{each['path']}: round trips")
    yield ""
    yield _kicks(document["paths"])
    if document["memory"]:
        yield ""
        yield _memory(document["memory"])
    for each in document["paths"]:
        if each["other_notifications"]:
            yield (
                f"{each['path']}: {each['other_notifications']} notifications were no answers: "
                "the remote has something else to say"
            )


def compared(
    runs: list[tuple[str, dict[str, Any]]], measure: str
) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Yield each path with the named times of a measure, of the runs that have it."""
    for path in dict.fromkeys(each["path"] for _, run in runs for each in run["paths"]):
        found = [
            (name, each[measure])
            for name, run in runs
            for each in run["paths"]
            if each["path"] == path and each[measure]
        ]
        if found:
            yield path, found


def comparison(runs: list[tuple[str, dict[str, Any]]]) -> Iterator[RenderableType]:
    """Compare several runs by name: per path and measure, each run against the first."""
    shown = False
    for measure, text in MEASURES.items():
        for path, found in compared(runs, measure):
            if len(found) > 1:
                if shown:
                    yield ""
                shown = True
                yield _times(found, f"{path}: {text}")


def ratios(times: dict[str, Any], first: dict[str, Any]) -> tuple[float, float, float] | None:
    """The least, the median and the greatest ratio of the rounds' medians to those of *first*."""
    found = [
        mine / its
        for mine, its in zip(times["p50_of_rounds"], first["p50_of_rounds"], strict=False)
        if its
    ]
    return (min(found), percentile(found, 0.5), max(found)) if found else None


def share_of_kicks(path: dict[str, Any]) -> str:
    """The share of the kicks in a row that coalesced, in percent, if it is known."""
    coalesced = path["kicks_coalesced"]
    return UNKNOWN if coalesced is None else f"{coalesced / path['kicks']:.0%}"


def microseconds(nanoseconds: float) -> str:
    """A time in microseconds, with a decimal if it has few digits."""
    found = nanoseconds / 1000
    return f"{found:.1f}" if round(found, 1) < 1000 else f"{found:,.0f}"


class _Table(Table):
    """A table that suits the console: its width, its characters, and no bold with NO_COLOR."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if console.no_color:
            self.header_style = self.title_style = "none"
        # One space between columns where two are too many. Then names continue below.
        endless = options.update(max_width=10_000)
        self.collapse_padding = self.__rich_measure__(console, endless).maximum > options.max_width
        ascii_only = not _has(console.encoding, _ASCII)
        for part in super().__rich_console__(console, options):
            if ascii_only and isinstance(part, Segment):
                yield Segment(part.text.translate(_ASCII), part.style, part.control)
            else:
                yield part


def _has(encoding: str, characters: dict[int, str]) -> bool:
    try:
        "".join(map(chr, characters)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _table(title: str, first: str, *columns: str) -> Table:
    table = _Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _times(rows: list[tuple[str, dict[str, Any]]], title: str) -> Table:
    """A table of percentiles, and of the ratios of the medians to the first row's."""
    shares = ("min", "p50", "p90", "p99", "p99.9", "max")
    table = _table(f"{title}, in \u00b5s", "", *shares, "ratio", "min-max", "samples")
    first = rows[0][1]
    for name, found in rows:
        ratio = ratios(found, first)
        table.add_row(
            Text(name),
            *(microseconds(found[share]) for share in shares),
            f"{ratio[1]:.2f}" if ratio else UNKNOWN,
            f"{ratio[0]:.2f}-{ratio[2]:.2f}" if ratio else UNKNOWN,
            f"{found['samples']:,}",
        )
    return table


def _histogram(found: dict[str, Any], title: str) -> Table:
    table = _table(title, "from, in \u00b5s", "samples")
    table.columns[0].justify = "right"
    table.add_column("")
    most = max((count for _, count in found["histogram"]), default=0) or 1
    for lower, count in found["histogram"]:
        bar = "█" * round(count / most * _BAR) or "▏"
        table.add_row(microseconds(lower), f"{count:,}", bar)
    return table


def _kicks(paths: list[dict[str, Any]]) -> Table:
    table = _table("kicks in a row", "", "kicks/s", "of them coalesced")
    for each in paths:
        table.add_row(Text(each["path"]), f"{each['kicks_per_second']:,}", share_of_kicks(each))
    return table


def _memory(copies: list[dict[str, Any]]) -> Table:
    table = _table(
        f"memory, in blocks of {copies[0]['block'] / 1024:g} KiB", "", "MB/s", "ratio to private"
    )
    for each in copies:
        rate = each["bytes_per_second"]
        to_first = f"{rate / copies[0]['bytes_per_second']:.2f}"
        table.add_row(Text(COPIES.get(each["copy"], each["copy"])), f"{rate / 1e6:,.0f}", to_first)
    return table
