# SPDX-License-Identifier: BSD-3-Clause
"""Measurements as a page of HTML that needs no other file, for any screen and for paper.

The drawings are inline SVG. Each fits on the narrowest screen, so its text need not shrink. A wider
screen has several beside each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from html import escape
from typing import Any

from rslctl import __version__
from rslctl.bench.report import (
    COPIES,
    MEASURES,
    UNKNOWN,
    compared,
    microseconds,
    ratios,
    share_of_kicks,
)

Run = dict[str, Any]

#: Width of a drawing and the ends of its axis, in pixels. Half a label fits beside an end.
_WIDTH = 350
_LEFT, _RIGHT = 24, 326
#: Height of a histogram alone, of each of several below each other, and of the text above one.
_TALL, _LOW, _ABOVE = 110, 64, 24
#: Height of a row of ranges, with its label above it.
_ROW = 34
#: Characters of a label in a drawing or over a column. A name may be longer.
_LABEL = 28
#: Most of the labels of an axis, and the least distance of their middles.
_TICKS = 5
_APART = 50
#: Width of a step of a histogram, in doublings: see measure.step.
_STEP = 0.5
#: Of the runs, in their order, again from the first where there are more: told apart by the colour
#: blind, and in print (after M. Okabe and K. Ito, Color Universal Design, 2008). On white each has
#: a contrast of 3:1 at least.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#4d4d4d", "#8a6d00")

_ROWS = ("min", "p50", "p90", "p99", "p99.9", "max")

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 72rem; background: #fff; color: #1b1f24;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { margin: 0 0 .2rem; font-size: 1.5rem; line-height: 1.2; }
h2 { margin: 2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #d0d7de;
  font-size: 1.15rem; }
h3 { margin: 1rem 0 .3rem; font-size: 1rem; }
p { margin: .3rem 0; color: #57606a; }
.grid { display: grid; gap: 1.2rem 1.6rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); }
.runs { display: grid; gap: .8rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); }
dl { display: grid; grid-template-columns: auto 1fr; align-content: start;
  gap: .1rem .8rem; margin: 0;
  padding: .7rem .9rem; border: 1px solid #d0d7de; border-left: 5px solid; border-radius: 4px; }
dt { color: #57606a; } dd { margin: 0; color: #1b1f24; }
dl .name { grid-column: 1 / -1; color: #1b1f24; font-weight: 600; }
figure { margin: 0; max-width: 460px; break-inside: avoid; }
figcaption { font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  fill: #1b1f24; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
svg .quiet { fill: #57606a; } svg .grid-line { stroke: #e3e7eb; } svg .axis { stroke: #8c959f; }
.table { max-width: 460px; overflow-x: auto; break-inside: avoid; }
.grid > div > figure + .table { margin-top: .8rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed;
  font-size: 13px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 15px; font-weight: 600; }
th, td { padding: .2rem .15rem; text-align: right; border-bottom: 1px solid #e3e7eb;
  vertical-align: bottom; }
td, tbody th { white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; }
thead th { font-size: .92em; font-weight: 600; } thead th[style] { border-bottom: 3px solid; }
caption[style] { padding-left: .4rem; border-left: 5px solid; }
tbody th { font-weight: 400; color: #57606a; }
@media (max-width: 500px) { body { padding: .8rem; font-size: 14px; } }
@media print {
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3, h2 + p { break-after: avoid; }
  h2 { margin-top: 1rem; }
  .grid, .runs { grid-template-columns: 1fr 1fr; gap: .6rem 1.2rem; }
  table { min-width: 0 !important; font-size: 8pt; }
  th, td { padding: .1rem .2rem; }
  .table { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def html(runs: list[tuple[str, Run]]) -> str:
    """The page of one or more named runs, of which :func:`report.check` accepts each."""
    links = list(dict.fromkeys(run["link"] for _, run in runs))
    title = f"Notifications and memory of link {', '.join(links)}"
    body = [f"<h1>{escape(title)}</h1>", f"<p>{_TOLD}</p>", _about(runs)]
    for measure, text in MEASURES.items():
        body += _measure(runs, measure, text)
    body += _histograms(runs)
    body += ["<h2>Kicks in a row, and memory</h2>", '<div class="grid">']
    body += [each for run in _coloured(runs) for each in _rates(*run, several=len(runs) > 1)]
    body += ["</div>", *_notes(runs)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


_TOLD = (
    f"Measured by rslctl bench, shown by rslctl {escape(__version__)}. Times include the Python "
    "interpreter&#8217;s own. Ratios compare a round&#8217;s p50 with the first column&#8217;s: "
    "median, min and max of the rounds."
)


def _coloured(runs: list[tuple[str, Run]]) -> Iterator[tuple[str, Run, str]]:
    for number, (name, run) in enumerate(runs):
        yield name, run, _COLOURS[number % len(_COLOURS)]


def _compared(
    runs: list[tuple[str, Run]], measure: str
) -> list[tuple[str, list[tuple[str, Run, str]]]]:
    """Each path with the times of a measure, of each run that has it: its name and its colour."""
    colours = {name: colour for name, _, colour in _coloured(runs)}
    return [
        (path, [(name, times, colours[name]) for name, times in found])
        for path, found in compared(runs, measure)
    ]


def _about(runs: list[tuple[str, Run]]) -> str:
    shown = []
    for name, run, colour in _coloured(runs):
        facts = {
            "board": run["board"] or "not set up by rslctl",
            "machine": run["machine"],
            "kernel": run["kernel"],
            "link": f"{run['link']}, vector {run['vector']}, {run['transport']}",
            "when": run["date"],
        }
        rows = "".join(
            f"<dt>{each}</dt><dd>{escape(str(value))}</dd>" for each, value in facts.items()
        )
        told = f'<div class="name">{escape(name)}</div>' if len(runs) > 1 else ""
        shown.append(f'<dl style="border-left-color: {colour}">{told}{rows}</dl>')
    return f'<div class="runs">{"".join(shown)}</div>'


def _measure(runs: list[tuple[str, Run]], measure: str, text: str) -> Iterator[str]:
    """A measure: a drawing that compares, and tables with the numbers."""
    drawn = _compared(runs, measure)
    if not drawn:
        return
    yield f"<h2>{escape(text[0].upper() + text[1:])}</h2>"
    yield (
        "<p>Dot: p50. Thick line: p50 to p99. Thin line: min to max. "
        "All on one logarithmic scale.</p>"
    )
    yield '<div class="grid">'
    shown = [times for _, found in drawn for _, times, _ in found]
    axis = _Axis(min(each["min"] for each in shown), max(each["max"] for each in shown))
    if len(runs) == 1:
        rows = [(path, *each[1:]) for path, found in drawn for each in found]
        yield _ranges("Paths compared", rows, axis)
        yield _times([(path, times, "") for path, times, _ in rows])
    else:
        for path, found in drawn:
            yield f"<div>{_ranges(path, found, axis)}{_times(found)}</div>"
    yield "</div>"


def _times(columns: list[tuple[str, Run, str]]) -> str:
    rows = {key: [microseconds(times[key]) for _, times, _ in columns] for key in _ROWS}
    rows["samples"] = [f"{times['samples']:,}" for _, times, _ in columns]
    if len(columns) > 1:
        found = [ratios(times, columns[0][1]) for _, times, _ in columns]
        for told, place in (("ratio", 1), ("ratio, min", 0), ("ratio, max", 2)):
            rows[told] = [f"{each[place]:.2f}" if each else UNKNOWN for each in found]
    return _table("Times in \u00b5s", [(name, colour) for name, _, colour in columns], rows)


def _table(
    caption: str, columns: list[tuple[str, str]], rows: dict[str, list[str]], colour: str = ""
) -> str:
    """A table whose columns and caption may have a colour; the cells are HTML already."""
    heads = "".join(
        f'<th scope="col"{_edge("bottom", each)}>{escape(_short(name))}</th>'
        for name, each in columns
    )
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    # In proportion to what the cells have; a wider table is moved within its frame.
    first = max(len(name) for name in rows) * 7.5
    narrowest = first + 64 * len(columns)
    return (
        f'<div class="table"><table style="min-width: {narrowest:.0f}px">'
        f"<caption{_edge('left', colour)}>{escape(caption)}</caption>"
        f'<colgroup><col style="width: {first:.0f}px"></colgroup>'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _edge(side: str, colour: str) -> str:
    return f' style="border-{side}-color: {colour}"' if colour else ""


def _rates(name: str, run: Run, colour: str, *, several: bool) -> Iterator[str]:
    kicks, memory = (f"{name}: kicks", f"{name}: memory") if several else ("Kicks", "Memory")
    edge = colour if several else ""
    yield _table(
        f"{kicks} in a row",
        [("kicks/s", ""), ("coalesced", "")],
        {
            each["path"]: [f"{each['kicks_per_second']:,}", share_of_kicks(each)]
            for each in run["paths"]
        },
        edge,
    )
    if run["memory"]:
        first = run["memory"][0]
        yield _table(
            f"{memory}, in blocks of {first['block'] / 1024:g} KiB",
            [("MB/s", ""), ("ratio to private", "")],
            {
                COPIES.get(each["copy"], each["copy"]): [
                    f"{each['bytes_per_second'] / 1e6:,.0f}",
                    f"{each['bytes_per_second'] / first['bytes_per_second']:.2f}",
                ]
                for each in run["memory"]
            },
            edge,
        )


def _notes(runs: list[tuple[str, Run]]) -> Iterator[str]:
    for name, run in runs:
        for each in run["paths"]:
            if each["other_notifications"]:
                yield (
                    f"<p>{escape(name)}, {escape(each['path'])}: {each['other_notifications']} "
                    "notifications were no answers: the remote has something else to say.</p>"
                )


# Drawings


def _time(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("\u00b5s", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


class _Axis:
    """A logarithmic axis of times in nanoseconds."""

    def __init__(self, least: float, most: float) -> None:
        self._least = math.log2(max(1, least))
        # A doubling at least, so that there is something to see.
        self._most = max(math.log2(max(1, most)), self._least + 1)

    def at(self, nanoseconds: float) -> float:
        """The place of a time, in pixels from the left; of one beside the axis, its end."""
        share = (math.log2(max(1, nanoseconds)) - self._least) / (self._most - self._least)
        return _LEFT + min(max(share, 0), 1) * (_RIGHT - _LEFT)

    def _labels(self) -> list[float]:
        """Round times on the axis: 1, 2 and 5, or fewer, or more, which then may be close."""
        first, last = math.floor(self._least / math.log2(10)), math.ceil(self._most / math.log2(10))
        tens = [10.0**power for power in range(first, last + 1)]
        for steps in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
            found = [ten * step for ten in tens for step in steps]
            found = [each for each in found if 2**self._least <= each <= 2**self._most]
            if len(found) <= _TICKS and self._apart(found):
                return found
        return found[:: math.ceil(len(found) / _TICKS)]

    def _apart(self, times: list[float]) -> bool:
        """Whether the labels of *times* have room beside each other."""
        places = [self.at(each) for each in times]
        return all(after - x >= _APART for x, after in itertools.pairwise(places))

    def drawn(self, top: float, bottom: float) -> Iterator[str]:
        """Lines from *top* to *bottom*, with their times below."""
        for each in self._labels():
            x = self.at(each)
            yield _line(x, top, x, bottom, "grid-line")
            yield _text(x, bottom + 14, _time(each), "middle", "quiet")
        yield _line(_LEFT, bottom, _RIGHT, bottom, "axis")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _short(text: str) -> str:
    """A text without its middle, if it is long: the ends of names tell them apart."""
    if len(text) <= _LABEL:
        return text
    return f"{text[: (_LABEL - 1) // 2]}\u2026{text[-_LABEL // 2 :]}"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>'


def _figure(caption: str, height: float, parts: list[str], told: str) -> str:
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(told)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _ranges(caption: str, rows: list[tuple[str, Run, str]], axis: _Axis) -> str:
    """Of each row a line from min to max, thick from p50 to p99, with a dot at p50."""
    bottom = len(rows) * _ROW + 4
    parts = list(axis.drawn(0, bottom))
    for number, (name, times, colour) in enumerate(rows):
        y = number * _ROW + 25
        parts.append(_text(0, y - 11, _short(name)))
        told = f"p50 {_time(times['p50'])}, p99 {_time(times['p99'])}"
        parts.append(_text(_WIDTH, y - 11, told, "end", "quiet"))
        for ends, width in ((("min", "max"), 2), (("p50", "p99"), 7)):
            x1, x2 = sorted(axis.at(times[end]) for end in ends)
            parts.append(
                f'<line x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}" stroke="{colour}" '
                f'stroke-width="{width}" stroke-opacity="{1 if width == 2 else 0.45}"/>'
            )
        parts.append(f'<circle cx="{axis.at(times["p50"]):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    said = "; ".join(f"{name}: p50 {_time(times['p50'])}" for name, times, _ in rows)
    return _figure(caption, bottom + 20, parts, said)


def _histograms(runs: list[tuple[str, Run]]) -> Iterator[str]:
    drawn = _compared(runs, "round_trip")
    yield "<h2>Round trips: how many took how long</h2>"
    yield (
        "<p>All on one logarithmic scale of times. A bar is as high as its part of the samples; "
        "the tallest of each run and path has the full height.</p>"
    )
    yield '<div class="grid">'
    steps = [step for _, found in drawn for _, times, _ in found for step in times["histogram"]]
    lowest = [lower for lower, _ in steps] or [1]
    axis = _Axis(min(lowest), max(lowest) * 2**_STEP)
    for path, found in drawn:
        yield _histogram(path, found, axis)
    yield "</div>"


def _histogram(path: str, found: list[tuple[str, Run, str]], axis: _Axis) -> str:
    """The histograms of a path, below each other; in percent of a run's samples."""
    tall = _TALL if len(found) == 1 else _LOW
    bottom = len(found) * (tall + _ABOVE)
    parts = list(axis.drawn(0, bottom))
    for number, (name, times, colour) in enumerate(found):
        base = (number + 1) * (tall + _ABOVE)
        total = sum(count for _, count in times["histogram"]) or 1
        most = max((count for _, count in times["histogram"]), default=0) or 1
        for lower, count in times["histogram"]:
            x, end = axis.at(lower), axis.at(max(1, lower) * 2**_STEP)
            # What is there is seen, however little it is.
            height = max(1.5, count / most * tall) if count else 0
            size = f'width="{max(0.5, end - x - 1):.1f}" height="{height:.1f}"'
            place = f'x="{x + 0.5:.1f}" y="{base - height:.1f}"'
            parts.append(f'<rect {place} {size} fill="{colour}"/>')
        parts.append(_line(_LEFT, base, _RIGHT, base, "axis"))
        peak = f"tallest bar: {most / total:.0%}"
        if len(found) > 1:
            parts.append(_text(0, base - tall - 6, _short(name)))
        else:
            peak += f" of {times['samples']:,} samples"
        parts.append(_text(_WIDTH, base - tall - 6, peak, "end", "quiet"))
    said = "; ".join(f"{name}: p50 {_time(times['p50'])}" for name, times, _ in found)
    return _figure(path, bottom + 20, parts, said)
