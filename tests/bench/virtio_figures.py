# SPDX-License-Identifier: BSD-3-Clause
"""What is made of the measurements of tests/bench/virtio.py, in the board and outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.bench import figures

#: What each run of tests/bench/through.c measures, between two marks.
PARTS = ("trips", "bytes")

#: The bounds that were asked for: of round trips, and of Linux's work per byte.
BOUNDS = {"trips": 0.6, "bytes": 0.5}


def comparisons(*, counted: bool) -> list[figures.Comparison]:
    """In instructions of Linux's core, or by the clock, where work per byte has no bound."""
    return [
        figures.Comparison(
            f"{device}, {part}, direct : {other}",
            f"{device}-direct.{part}",
            f"{device}-{other}.{part}",
            "p50",
            BOUNDS[part] if counted or part == "trips" else None,
        )
        for device in ("vsock", "net")
        for part in PARTS
        for other in ("proxy", "pausing")
    ]


def count(document: dict[str, Any], marks: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The same with the instructions of Linux's core, the first, between the marks."""
    if len(marks) != 2 * len(PARTS) * len(document["order"]):
        raise ValueError(f"{len(marks)} marks of {len(document['order'])} runs")
    first = [each[0] for each in marks]
    spans = [end - start for start, end in zip(first[::2], first[1::2], strict=True)]
    taken = [
        dict(zip(PARTS, map(float, spans[at : at + len(PARTS)]), strict=True))
        for at in range(0, len(spans), len(PARTS))
    ]
    return complete(document, taken, "instructions of Linux's core", counted=True)


def complete(
    document: dict[str, Any], taken: Sequence[dict[str, float]], unit: str, *, counted: bool
) -> dict[str, Any]:
    """With figures per round trip and per byte, and their ratios."""
    measured: figures.Measured = {}
    for contender, found in zip(document["order"], taken, strict=True):
        each = {"trips": document["trips"], "bytes": document["bytes"]}
        figures.add(measured, contender, {part: [found[part] / each[part]] for part in PARTS})
    ratios = figures.ratios(measured, comparisons(counted=counted))
    return document | {"unit": unit, "measured": measured, "ratios": ratios}


def table(document: dict[str, Any]) -> str:
    """A document of tests/bench/virtio.py to read."""
    first = (
        f"{document['rounds']} rounds of {document['trips']} round trips and {document['bytes']} "
        f"bytes each way, Linux {document['kernel']}, figures in {document['unit']}"
    )
    return "\n".join([first, "", *figures.rows(document["ratios"])])
