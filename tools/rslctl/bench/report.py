# SPDX-License-Identifier: BSD-3-Clause
"""Show measurements as tables and histograms on a terminal. The page of HTML is page.py's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rslctl.bench.measure import percentile
from rslctl.tables import table

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
#: What an output shows that has not all of these characters: see :func:`in_encoding`.
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


def run(document: dict[str, Any], title: str = "", width: int | None = None) -> Iterator[str]:
    """Show one run in lines: a table and histograms per measure, kicks in a row, and memory.

    The tables suit *width* columns, if given: see :func:`rslctl.tables.table`.
    """
    yield f"{title or 'run'}: link {document['link']}, vector {document['vector']}, " + ", ".join(
        str(document[key]) for key in ("transport", "machine", "kernel")
    )
    for measure, text in MEASURES.items():
        found = [each for each in document["paths"] if each[measure]]
        if found:
            rows = [(each["path"], each[measure]) for each in found]
            yield from ("", *_times(rows, text, width))
    for each in document["paths"]:
        yield from ("", *_histogram(each["round_trip"], f"{each['path']}: round trips"))
    yield from ("", *_kicks(document["paths"]))
    if document["memory"]:
        yield from ("", *_memory(document["memory"]))
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


def comparison(runs: list[tuple[str, dict[str, Any]]], width: int | None = None) -> Iterator[str]:
    """Compare several runs by name, in lines: per path and measure, each with the first."""
    shown = False
    for measure, text in MEASURES.items():
        for path, found in compared(runs, measure):
            if len(found) > 1:
                yield from [""] if shown else []
                shown = True
                yield from _times(found, f"{path}: {text}", width)


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


def in_encoding(line: str, encoding: str) -> str:
    """A line with other characters for those of a report that *encoding* lacks."""
    try:
        "".join(map(chr, _ASCII)).encode(encoding)
    except UnicodeEncodeError:
        return line.translate(_ASCII)
    return line


def _times(rows: list[tuple[str, dict[str, Any]]], title: str, width: int | None) -> list[str]:
    """A table of percentiles, and of the ratios of the medians to the first row's."""
    shares = ("min", "p50", "p90", "p99", "p99.9", "max")
    cells: list[tuple[str, ...]] = [("", *shares, "ratio", "min-max", "samples")]
    first = rows[0][1]
    for name, found in rows:
        ratio = ratios(found, first)
        cells.append(
            (
                name,
                *(microseconds(found[share]) for share in shares),
                f"{ratio[1]:.2f}" if ratio else UNKNOWN,
                f"{ratio[0]:.2f}-{ratio[2]:.2f}" if ratio else UNKNOWN,
                f"{found['samples']:,}",
            )
        )
    return [f"{title}, in \u00b5s", *table(cells, left=(0,), width=width)]


def _histogram(found: dict[str, Any], title: str) -> list[str]:
    most = max((count for _, count in found["histogram"]), default=0) or 1
    cells = [("from, in \u00b5s", "samples", "")]
    for lower, count in found["histogram"]:
        bar = "\u2588" * round(count / most * _BAR) or "\u258f"
        cells.append((microseconds(lower), f"{count:,}", bar))
    return [title, *table(cells, left=(2,))]


def _kicks(paths: list[dict[str, Any]]) -> list[str]:
    cells = [("", "kicks/s", "of them coalesced")]
    cells += [
        (each["path"], f"{each['kicks_per_second']:,}", share_of_kicks(each)) for each in paths
    ]
    return ["kicks in a row", *table(cells, left=(0,))]


def _memory(copies: list[dict[str, Any]]) -> list[str]:
    cells = [("", "MB/s", "ratio to private")]
    for each in copies:
        rate = each["bytes_per_second"]
        to_first = f"{rate / copies[0]['bytes_per_second']:.2f}"
        cells.append((COPIES.get(each["copy"], each["copy"]), f"{rate / 1e6:,.0f}", to_first))
    return [
        f"memory, in blocks of {copies[0]['block'] / 1024:g} KiB",
        *table(cells, left=(0,)),
    ]
