# SPDX-License-Identifier: BSD-3-Clause
"""What rslctl bench makes of what it measures; tests/guest/test_rslctl_bench.py measures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl import bench, mbox, report
from rslctl.errors import RslError, UsageError

from tests.unit.machine import Machine, Rslctl

TIMES = st.lists(st.integers(1, 10**10), min_size=1, max_size=50)


def document(scale: int = 1, *, memory: bool = True) -> dict[str, Any]:
    """A run of two paths, of whose times *scale* is a factor."""
    rounds = [[scale * value for value in (900, 1000, 1000, 5000)], [scale * 1100] * 4]
    times = bench.summary(rounds)
    path = {"kick": times, "round_trip": times, "wake": times, "kicks_per_second": 10}
    path.update(kicks=4, kicks_coalesced=1, other_notifications=0)
    copies = [
        {"copy": name, "block": bench.BLOCK, "bytes_per_second": 10**6, "of_rounds": [10**6]}
        for name in ("private", "read")
    ]
    return {
        "link": "rpu0",
        "vector": 0,
        "transport": "doorbell",
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


@given(TIMES, st.floats(0.001, 1))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(times: list[int], share: float) -> None:
    found = bench.percentile(times, share)
    assert sum(value <= found for value in times) >= share * len(times)
    assert sum(value < found for value in times) < share * len(times)


@given(TIMES)
def test_a_histogram_has_every_sample_in_its_step(times: list[int]) -> None:
    found = bench.summary([times])
    assert found
    lowers = [lower for lower, _ in found["histogram"]]
    assert lowers == sorted(set(lowers))
    assert sum(count for _, count in found["histogram"]) == len(times) == found["samples"]
    # A step begins at a whole number of nanoseconds.
    assert lowers[0] <= min(times) + 1
    assert max(times) <= lowers[-1] * 1.5 + 1
    assert found["min"] == min(times)
    assert found["max"] == max(times)


def test_what_has_no_samples_has_no_summary() -> None:
    assert bench.summary([[], []]) is None


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
    assert "chardev: round trips" in text
    assert "█" in text
    assert not re.search(r"(src|href)=|@import|url\(|<script", text)


def test_one_run_can_be_shown_and_printed(rslctl: Rslctl, runs: list[str]) -> None:
    status, out, _ = rslctl("bench", runs[0], "--json")
    assert (status, json.loads(out)) == (0, [document()])
    _, out, _ = rslctl("bench", runs[0])
    assert "of them coalesced" in out
    assert "from shared memory" in out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"paths": []}', "\xff"])
def test_what_is_no_run_is_named(rslctl: Rslctl, tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin1"))
    status, out, err = rslctl("bench", str(path))
    assert (status, out) == (1, "")
    assert err.startswith(f"rslctl: '{path}' is no run of rslctl bench: ")
    status, _, err = rslctl("bench", str(tmp_path / "none.json"))
    assert (status, "No such file" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--path", "pigeon"], "--path: 'pigeon' is not one of chardev, eventfd, sysfs, uio"),
        (["--count", "0"], "'--count'"),
        (["--rounds", "x"], "'--rounds'"),
        (["--write-at", "here"], "'here' is no number of bytes, as 0x1000"),
    ],
)
def test_a_measurement_that_makes_no_sense_ends_with_2(
    rslctl: Rslctl, arguments: list[str], wanted: str
) -> None:
    status, out, err = rslctl("bench", *arguments)
    assert (status, out) == (2, "")
    assert wanted in " ".join(err.split())


@pytest.mark.parametrize(
    ("attribute", "value", "how"),
    [("open_files", "1", "is open"), ("vector2/bound", "notify", "vector 2 has eventfds")],
)
def test_a_link_in_use_is_left_alone(
    machine: Machine, attribute: str, value: str, how: str
) -> None:
    machine.with_link()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/vector2/bound", "\n")
    machine.write(f"/sys/class/rsl_mbox/rsl_mbox0/{attribute}", f"{value}\n")
    link = mbox.pick(machine.host, None)
    with pytest.raises(RslError, match=f"link 'rpu0' is in use: .*{how}"):
        bench.run(machine.host, link, bench.Plan(("chardev",), vector=2))
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


@pytest.mark.parametrize("offset", [-4, 2, 0x1000000 - bench.BLOCK + 4])
def test_a_place_to_write_at_has_to_be_in_the_memory(machine: Machine, offset: int) -> None:
    machine.with_link()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/vector0/bound", "\n")
    link = mbox.pick(machine.host, None)
    with pytest.raises(UsageError, match="--write-at: "):
        bench.run(machine.host, link, bench.Plan(("chardev",), write_at=offset))


def test_a_page_of_a_run_without_memory_says_nothing_of_it() -> None:
    assert "MB/s" not in report.html(report.run(document(memory=False)))
    assert "MB/s" in report.html(report.run(document()))
