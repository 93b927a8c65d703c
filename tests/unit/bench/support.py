# SPDX-License-Identifier: BSD-3-Clause
"""Runs of bench that were never measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rslctl.bench import measure


def document(scale: int = 1, *, memory: bool = True) -> dict[str, Any]:
    """A run of two paths, of whose times *scale* is a factor."""
    rounds = [[scale * value for value in (900, 1000, 1000, 5000)], [scale * 1100] * 4]
    times = measure.summary(rounds)
    path = {"kick": times, "round_trip": times, "wake": times, "kicks_per_second": 10}
    path.update(kicks=4, kicks_coalesced=1, other_notifications=0)
    copies = [
        {"copy": name, "block": measure.BLOCK, "bytes_per_second": 10**6, "of_rounds": [10**6]}
        for name in ("private", "read")
    ]
    return {
        "link": "rpu0",
        "vector": 0,
        "transport": "doorbell",
        "board": "qemu-virt",
        "date": "2026-01-02 03:04 UTC",
        "machine": "a",
        "kernel": "6",
        "python": "3",
        "rounds": 2,
        "paths": [{"path": "chardev", **path}, {"path": "uio", **path, "wake": None}],
        "memory": copies if memory else [],
    }


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    names = []
    for name, scale in (("before", 1), ("after", 3)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document(scale)))
        names.append(str(path))
    return names


def spoiled(*path: str | int, value: Any) -> str:
    """A run with another value somewhere in it."""
    run = document()
    place: Any = run
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(run)
