# SPDX-License-Identifier: BSD-3-Clause
"""What is made of the samples: a figure per round, ratios within a round, and a table of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: What the board's document is printed between, on one line.
BEGIN, END = "bench-begin", "bench-end"

#: Per contender and what it measured, "uio.wake", a figure per round and statistic.
Measured = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Comparison:
    """Two contenders and the ratio that is asked for, if any."""

    what: str
    ours: str
    theirs: str
    statistic: str = "p50"
    bound: float | None = None


COMPARISONS = (
    Comparison("interrupt to read(2), char device : UIO", "chardev.wake", "uio.wake", "p50", 1.10),
    Comparison("interrupt to read(2), char device : UIO", "chardev.wake", "uio.wake", "p99", 1.10),
    Comparison("interrupt to bound eventfd : UIO", "eventfd.wake", "uio.wake", "p50", 1.10),
    Comparison("interrupt to bound eventfd : UIO", "eventfd.wake", "uio.wake", "p99", 1.10),
    Comparison("kick, write(2) : UIO's irqcontrol", "chardev.kick", "uio.enable", "p50", 1.20),
    Comparison(
        "the same, where nothing is to be enabled", "chardev.kick", "uio.again", "p50", 1.20
    ),
    Comparison("kick without the register : irqcontrol", "chardev.kick-alone", "uio.enable"),
    Comparison("kick and answer, char device : UIO", "chardev.cycle", "uio.cycle"),
    Comparison(
        "mailbox to read(2) : a deferring client", "mbox.wake", "deferring.wake", "p50", 0.8
    ),
    Comparison("mailbox to read(2) : a deferring client", "mbox.wake", "deferring.wake", "p99"),
    Comparison("interrupt to read(2), mailbox, beside a storm : calm", "storm.wake", "mbox.wake"),
    Comparison("a notification, 32 vectors : 1", "flood-32.cost", "flood-1.cost", "p50", 1.3),
    Comparison("the same, 32 in one message", "flood-32-at-once.cost", "flood-1.cost"),
    Comparison("memcpy of 64 KiB, char device : UIO", "chardev.copy", "uio.copy"),
)


def percentile(samples: list[float], percent: int) -> float:
    """The smallest sample that so many percent of all do not exceed."""
    ranked = sorted(samples)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def parse(output: str) -> dict[str, list[float]]:
    """The lines of a measuring program: a name, and numbers."""
    lines = [line.split() for line in output.splitlines() if line.strip()]
    return {name: [float(word) for word in words] for name, *words in lines}


def add(measured: Measured, contender: str, samples: dict[str, list[float]]) -> None:
    """Add what a contender measured in one round."""
    for name, values in samples.items():
        figures = measured.setdefault(f"{contender}.{name}", {"p50": [], "p99": []})
        figures["p50"].append(percentile(values, 50))
        figures["p99"].append(percentile(values, 99))


def without_register(measured: Measured) -> None:
    """A kick less what the store to the register takes, which is UIO's kick: the round's p50."""
    pairs = zip(measured["chardev.kick"]["p50"], measured["uio.kick"]["p50"], strict=True)
    measured["chardev.kick-alone"] = {"p50": [ours - store for ours, store in pairs]}


def ratios(
    measured: Measured, comparisons: Sequence[Comparison] = COMPARISONS
) -> list[dict[str, Any]]:
    """Each comparison: the median of the rounds' ratios, their spread, and the median figures."""
    rows = []
    for each in comparisons:
        ours = measured[each.ours][each.statistic]
        theirs = measured[each.theirs][each.statistic]
        within = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        rows.append(
            {
                "what": each.what,
                "statistic": each.statistic,
                "ratio": round(statistics.median(within), 3),
                "least": round(min(within), 3),
                "most": round(max(within), 3),
                "bound": each.bound,
                "ours": statistics.median(ours),
                "theirs": statistics.median(theirs),
            }
        )
    return rows


def found(console: str) -> dict[str, Any]:
    """The document that the board has printed."""
    document: dict[str, Any] = json.loads(console.split(f"{BEGIN}\n")[1].split(f"\n{END}")[0])
    return document


def table(document: dict[str, Any]) -> str:
    """A document of tests/bench/board.py to read."""
    unit = document["unit"]
    lines = [
        f"{document['rounds']} rounds of {document['samples']} samples, Linux {document['kernel']}"
        f" on {document['cores']} core(s), figures in {unit}",
        "",
        *rows(document["ratios"]),
        "",
    ]
    for contender, name in (("mbox", "rsl_mbox"), ("deferring", "the deferring client")):
        lost, sent = (sum(document["messages"][contender][key]) for key in ("lost", "sent"))
        lines.append(f"{name} lost {lost:.0f} of {sent:.0f} notifications that came in bursts")
    return "\n".join(lines)


def rows(ratios: list[dict[str, Any]]) -> list[str]:
    """Rows of :func:`ratios` to read."""
    lines = [f"{'':40}      ratio   (spread)        asked     figures"]
    for row in ratios:
        bound = "" if row["bound"] is None else f"<= {row['bound']:.2f}"
        missed = row["bound"] is not None and row["ratio"] > row["bound"]
        lines.append(
            f"{row['what']:40} {row['statistic']}  {row['ratio']:5.2f}   "
            f"({row['least']:.2f}..{row['most']:.2f})".ljust(70)
            + f"{bound:8}{'!' if missed else ' '} {_figure(row['ours']):>9} : "
            + _figure(row["theirs"])
        )
    return lines


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
