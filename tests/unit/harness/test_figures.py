# SPDX-License-Identifier: BSD-3-Clause
"""What tests/bench makes of samples."""

from __future__ import annotations

import json

import pytest

from tests.bench import figures, virtio_figures

NAMES = ("direct", "proxy", "pausing")


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_a_sample(percent: int, value: float) -> None:
    assert figures.percentile([float(each) for each in range(100, 0, -1)], percent) == value


def test_a_percentile_of_one_sample_is_that_sample() -> None:
    assert figures.percentile([7.0], 99) == 7


def test_lines_of_a_program_are_names_and_numbers() -> None:
    assert figures.parse("wake 3 1 2\n\ncycle 5\n") == {"wake": [3, 1, 2], "cycle": [5]}


def measured() -> figures.Measured:
    """Two rounds, in which ours takes 2 and 3 times as long as theirs."""
    found: figures.Measured = {}
    for ours in (20.0, 30.0):
        for name in ("chardev", "eventfd", "mbox", "storm"):
            figures.add(found, name, {"wake": [ours], "kick": [ours], "cycle": [ours]})
        for name in ("uio", "deferring"):
            figures.add(found, name, {key: [10.0] for key in ("wake", "kick", "cycle")})
        figures.add(found, "uio", {"enable": [10.0], "again": [10.0], "copy": [10.0]})
        figures.add(found, "chardev", {"copy": [ours]})
        for name, cost in (("flood-1", 10.0), ("flood-32", ours), ("flood-32-at-once", 1.0)):
            figures.add(found, name, {"cost": [cost]})
    figures.without_register(found)
    return found


def test_a_ratio_is_the_median_of_those_within_the_rounds() -> None:
    rows = {(row["what"], row["statistic"]): row for row in figures.ratios(measured())}
    row = rows["interrupt to read(2), char device : UIO", "p99"]
    assert (row["least"], row["ratio"], row["most"]) == (2, 2.5, 3)
    assert (row["ours"], row["theirs"], row["bound"]) == (25, 10, 1.1)
    row = rows["kick without the register : irqcontrol", "p50"]
    assert (row["least"], row["most"], row["bound"]) == (1, 2, None)
    assert len(rows) == len(figures.COMPARISONS)


def test_the_table_marks_what_is_above_what_was_asked_for() -> None:
    document = {
        "unit": "ns",
        "rounds": 2,
        "samples": 1,
        "cores": 1,
        "kernel": "6.1",
        "ratios": figures.ratios(measured()),
        "messages": {
            "mbox": {"sent": [3.0], "lost": [0.0]},
            "deferring": {"sent": [3.0], "lost": [2.0]},
        },
    }
    lines = figures.table(document).splitlines()
    (missed,) = [line for line in lines if line.startswith("mailbox") and "p50" in line]
    assert "2.50   (2.00..3.00)" in missed
    assert "<= 0.80 !" in missed
    (free,) = [line for line in lines if line.startswith("memcpy")]
    assert "<=" not in free
    assert "!" not in free
    assert "the deferring client lost 2 of 3 notifications that came in bursts" in lines


def test_the_document_is_found_on_the_console() -> None:
    console = f"round 1\n{figures.BEGIN}\n{json.dumps({'rounds': 5})}\n{figures.END}\nmore\n"
    assert figures.found(console) == {"rounds": 5}


def test_instructions_between_the_marks_are_those_of_the_first_core() -> None:
    order = [f"{device}-{name}" for device in ("net", "vsock") for name in NAMES]
    document = {"rounds": 1, "trips": 10, "bytes": 100, "kernel": "6.1", "order": order}
    marks, at = [], 0
    for number in range(len(order)):
        # 10 instructions more for each, per round trip, and twice as many per byte.
        for taken in (100 * (number + 1), 2000 * (number + 1)):
            marks += [[at, 7], [at + taken, 9]]
            at += taken + 1000
    found = virtio_figures.count(document, marks)
    assert found["measured"]["net-proxy.trips"]["p50"] == [20]
    assert found["measured"]["vsock-direct.bytes"]["p50"] == [80]
    rows = {row["what"]: row for row in found["ratios"]}
    row = rows["net, trips, direct : proxy"]
    assert (row["ratio"], row["bound"], row["ours"], row["theirs"]) == (0.5, 0.6, 10, 20)
    assert rows["vsock, bytes, direct : pausing"]["bound"] == 0.5
    assert "vsock, bytes, direct : proxy" in virtio_figures.table(found)
    with pytest.raises(ValueError, match="23 marks of 6 runs"):
        virtio_figures.count(document, marks[1:])


def test_bytes_by_the_clock_have_no_bound() -> None:
    assert {each.bound for each in virtio_figures.comparisons(counted=False)} == {0.6, None}
