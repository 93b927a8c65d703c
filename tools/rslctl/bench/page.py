# SPDX-License-Identifier: BSD-3-Clause
"""Measurements as a page of HTML that needs no other file, for any screen and for paper.

The drawings are inline SVG. Each fits on the narrowest screen, so its text need not shrink. A wider
screen has several beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any

from rslctl import __version__
from rslctl.bench.report import COPIES, MEASURES, compared, ratios, share_of_kicks

Run = dict[str, Any]

#: Width of a drawing and of its margins, in pixels.
_WIDTH = 350
_LEFT, _RIGHT = 8, 342
#: Height of a histogram alone, and of each of several that have one axis.
_TALL, _LOW = 110, 64
#: Height of a row of ranges, with its label above it.
_ROW = 34
#: Characters of a label in a drawing or over a column. A name may be longer.
_LABEL = 28
#: Most of the labels of an axis.
_TICKS = 5
#: Width of a step of a histogram, in doublings: see measure.step.
_STEP = 0.5
#: Of the runs, in their order, again from the first where there are more: told apart by the colour
#: blind, and in print (M. Okabe and K. Ito, Color Universal Design, 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#56b4e9", "#8a6d00")

_ROWS = {"min": "least", "p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p99.9", "max": "most"}

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
p, footer { margin: .3rem 0; color: #57606a; }
footer { margin-top: 2rem; padding-top: .6rem; border-top: 1px solid #d0d7de; font-size: .85rem; }
.grid { display: grid; gap: 1.2rem 1.6rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); }
.runs { display: grid; gap: .8rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .8rem; margin: 0;
  padding: .7rem .9rem; border: 1px solid #d0d7de; border-left: 5px solid; border-radius: 4px; }
dt { color: #57606a; } dd { margin: 0; color: #1b1f24; }
dl .name { grid-column: 1 / -1; color: #1b1f24; font-weight: 600; }
figure { margin: 0; max-width: 460px; break-inside: avoid; }
figcaption { font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  fill: #1b1f24; }
svg .quiet { fill: #57606a; } svg .grid-line { stroke: #e3e7eb; } svg .axis { stroke: #8c959f; }
.table { max-width: 460px; overflow-x: auto; break-inside: avoid; }
figure + .table { margin-top: .8rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed;
  font-size: 13px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 15px; font-weight: 600; }
th, td { padding: .2rem .3rem; text-align: right; border-bottom: 1px solid #e3e7eb;
  vertical-align: bottom; }
td, tbody th { white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; } th { font-weight: 600; }
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
    body = [f"<h1>{escape(title)}</h1>", "<p>measured by rslctl bench</p>", _about(runs)]
    for measure, text in MEASURES.items():
        body += _measure(runs, measure, text)
    body += ["<h2>Round trips: how many took how long</h2>", *_histograms(runs)]
    body += ["<h2>Kicks in a row, and memory</h2>", '<div class="grid">']
    body += [each for run in _coloured(runs) for each in _rates(*run, several=len(runs) > 1)]
    body += ["</div>", *_notes(runs), f"<footer>{_FOOTER}</footer>"]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


_FOOTER = (
    "Times are of CLOCK_MONOTONIC and include the Python interpreter&#8217;s own. Percentiles are "
    "by nearest rank over all rounds. A ratio is the median, over the rounds, of a round&#8217;s "
    "median to that of the first column&#8217;s round; the least and the most of the rounds "
    f"follow. Made by rslctl {escape(__version__)}."
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
    yield "<p>Dot: p50. Thick line: p50 to p99. Thin line: least to most.</p>"
    yield '<div class="grid">'
    if len(runs) == 1:
        yield _ranges("by path", [(path, *each[1:]) for path, found in drawn for each in found])
        yield _times("in &#181;s", [(path, found[0][1]) for path, found in drawn])
    else:
        for path, found in drawn:
            yield f"<div>{_ranges(path, found)}"
            yield f"{_times('in &#181;s', [(name, times) for name, times, _ in found])}</div>"
    yield "</div>"


def _times(caption: str, columns: list[tuple[str, Run]]) -> str:
    rows = {
        told: [_microseconds(times[key]) for _, times in columns] for key, told in _ROWS.items()
    }
    rows["samples"] = [str(times["samples"]) for _, times in columns]
    if len(columns) > 1:
        found = [ratios(times, columns[0][1]) for _, times in columns]
        rows["ratio"] = [f"{each[1]:.2f}" if each else "" for each in found]
        rows["ratio, least"] = [f"{each[0]:.2f}" if each else "" for each in found]
        rows["ratio, most"] = [f"{each[2]:.2f}" if each else "" for each in found]
    return _table(caption, [name for name, _ in columns], rows)


def _microseconds(nanoseconds: float) -> str:
    found = nanoseconds / 1000
    return f"{found:.1f}" if found < 1000 else f"{found:,.0f}"


def _table(caption: str, columns: list[str], rows: dict[str, list[str]]) -> str:
    """A table; the caption and the cells are HTML already."""
    heads = "".join(f'<th scope="col">{escape(_short(each))}</th>' for each in columns)
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
        f"<caption>{caption}</caption>"
        f'<colgroup><col style="width: {first:.0f}px"></colgroup>'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _rates(name: str, run: Run, colour: str, *, several: bool) -> Iterator[str]:
    told = f"{escape(name)}: " if several else ""
    yield _table(
        f"{told}kicks in a row",
        ["a second", "coalesced"],
        {
            each["path"]: [f"{each['kicks_per_second']:,}", share_of_kicks(each)]
            for each in run["paths"]
        },
    )
    if run["memory"]:
        first = run["memory"][0]
        yield _table(
            f"{told}memory, in blocks of {first['block'] / 1024:g} KiB",
            ["MB/s", "to private"],
            {
                COPIES.get(each["copy"], each["copy"]): [
                    f"{each['bytes_per_second'] / 1e6:,.0f}",
                    f"{each['bytes_per_second'] / first['bytes_per_second']:.2f}",
                ]
                for each in run["memory"]
            },
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
        """Round times on the axis: 1, 2 and 5, or powers of ten, or some of these."""
        first, last = math.floor(self._least / math.log2(10)), math.ceil(self._most / math.log2(10))
        tens = [10.0**power for power in range(first, last + 1)]
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [ten * step for ten in tens for step in steps]
            found = [each for each in found if 2**self._least <= each <= 2**self._most]
            if len(found) <= _TICKS:
                return found
        return found[:: math.ceil(len(found) / _TICKS)]

    def drawn(self, top: float, bottom: float) -> Iterator[str]:
        """Lines from *top* to *bottom*, with their times below."""
        for each in self._labels():
            x = self.at(each)
            yield _line(x, top, x, bottom, "grid-line")
            anchor = "start" if x < 30 else "end" if x > _WIDTH - 30 else "middle"
            yield _text(x, bottom + 14, _time(each), anchor, "quiet")
        yield _line(_LEFT, bottom, _RIGHT, bottom, "axis")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}\u2026"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(_short(text))}</text>'


def _figure(caption: str, height: float, parts: list[str], told: str) -> str:
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(told)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _ranges(caption: str, rows: list[tuple[str, Run, str]]) -> str:
    """Of each row a line from the least to the most, thick from p50 to p99, with a dot at p50."""
    axis = _Axis(min(times["min"] for _, times, _ in rows), max(each["max"] for _, each, _ in rows))
    bottom = len(rows) * _ROW + 4
    parts = list(axis.drawn(0, bottom))
    for number, (name, times, colour) in enumerate(rows):
        y = number * _ROW + 25
        parts.append(_text(_LEFT, y - 11, name))
        told = f"p50 {_time(times['p50'])}, p99 {_time(times['p99'])}"
        parts.append(_text(_RIGHT, y - 11, told, "end", "quiet"))
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
    yield '<div class="grid">'
    for path, found in _compared(runs, "round_trip"):
        yield _histogram(path, found)
    yield "</div>"


def _histogram(path: str, found: list[tuple[str, Run, str]]) -> str:
    """The histograms of a path, below each other on one axis; in percent of a run's samples."""
    lowest = [lower for _, times, _ in found for lower, _ in times["histogram"]] or [1]
    axis = _Axis(min(lowest), max(lowest) * 2**_STEP)
    tall = _TALL if len(found) == 1 else _LOW
    bottom = len(found) * (tall + 20)
    parts = list(axis.drawn(0, bottom))
    for number, (name, times, colour) in enumerate(found):
        base = (number + 1) * (tall + 20)
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
        parts.append(_text(_LEFT, base - tall - 6, name if len(found) > 1 else ""))
        peak = f"highest {most / total:.0%} of {times['samples']}"
        parts.append(_text(_RIGHT, base - tall - 6, peak, "end", "quiet"))
    said = "; ".join(f"{name}: p50 {_time(times['p50'])}" for name, times, _ in found)
    return _figure(path, bottom + 20, parts, said)
