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
from rslctl.bench import measure, report
from rslctl.bench.paths import check_unused
from rslctl.errors import RslError, UsageError
from rslctl.linux import mbox

from tests.command_line import Rslctl
from tests.unit.machine import Machine

TIMES = st.lists(st.integers(1, 10**10), min_size=1, max_size=50)


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
    found = measure.percentile(times, share)
    assert sum(value <= found for value in times) >= share * len(times)
    assert sum(value < found for value in times) < share * len(times)


@given(TIMES)
def test_a_histogram_has_every_sample_in_its_step(times: list[int]) -> None:
    found = measure.summary([times])
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
    assert measure.summary([[], []]) is None


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


def spoiled(*path: str | int, value: Any) -> str:
    """A run with another value somewhere in it."""
    run = document()
    place: Any = run
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(run)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ("\xff", "codec"),
        ("[]", "the document is no object"),
        ("{}", "the document has no 'link'"),
        (spoiled("paths", value=[]), "paths is empty"),
        (spoiled("paths", 0, "path", value=5), "path is no text"),
        (spoiled("link", value="\x1b[31m"), "link is no text"),
        (spoiled("paths", 0, "kicks", value=0), "kicks is no number from 1 on"),
        (spoiled("paths", 0, "wake", "p50", value=10**400), "p50 is no number from 0 on"),
        (spoiled("paths", 1, "round_trip", value=None), "round_trip is no object"),
        (spoiled("paths", 1, "kick", "histogram", value=[[1, -1]]), "is no number from 0 on"),
        (spoiled("memory", 0, "bytes_per_second", value=0), "is no number from 1 on"),
        (spoiled("memory", 0, "block", value=True), "block is no number from 1 on"),
    ],
)
def test_what_is_no_run_is_named(rslctl: Rslctl, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin1"))
    status, out, err = rslctl("bench", str(path))
    assert (status, out) == (1, "")
    assert err.startswith(f"rslctl: '{path}' is no run of rslctl bench: ")
    assert why in err
    status, _, err = rslctl("bench", str(tmp_path / "none.json"))
    assert (status, "No such file" in err) == (1, True)


def test_names_in_a_run_are_shown_as_they_are(rslctl: Rslctl, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(spoiled("paths", 0, "path", value="[/red]"))
    status, out, _ = rslctl("bench", str(path))
    assert (status, "[/red]: round trips" in out) == (0, True)


def test_runs_of_the_same_name_are_told_apart(
    rslctl: Rslctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("a/run.json"), Path("b/run.json")):
        path.parent.mkdir()
        path.write_text(json.dumps(document()))
    _, out, _ = rslctl("bench", "a/run.json", "b/run.json")
    assert "\na/run.json: link rpu0" in out
    assert "\nb/run.json: link rpu0" in out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--path", "pigeon"], "--path: 'pigeon' is not one of chardev, eventfd, sysfs, uio"),
        (["--count", "0"], "'--count'"),
        (["--rounds", "x"], "'--rounds'"),
        (["--write-at", "here"], "'here' is no number of bytes, as 0x1000"),
        (["--report", "/no/such/x.html"], "--report: '/no/such' is no directory to write to"),
        (["a.json", "--count", "5"], "do not go with runs to compare"),
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
    for vector in range(4):
        machine.write(f"/sys/class/rsl_mbox/rsl_mbox0/vector{vector}/bound", "\n")
    machine.write(f"/sys/class/rsl_mbox/rsl_mbox0/{attribute}", f"{value}\n")
    link = mbox.pick(machine.host, None)
    with pytest.raises(RslError, match=f"link 'rpu0' is in use: .*{how}"):
        measure.run(machine.host, link, measure.Settings(("chardev",), vector=2), print)
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


def test_uio_wants_a_link_without_eventfds_on_any_vector(machine: Machine) -> None:
    machine.with_link()
    for vector in range(4):
        name = f"/sys/class/rsl_mbox/rsl_mbox0/vector{vector}/bound"
        machine.write(name, "notify\n" if vector == 3 else "\n")
    check_unused(machine.host, "rpu0", [0])
    with pytest.raises(RslError, match="link 'rpu0' is in use: vector 3 has eventfds"):
        check_unused(machine.host, "rpu0")


def test_a_module_that_cannot_tell_who_uses_a_link_is_too_old(machine: Machine) -> None:
    machine.with_link()
    with pytest.raises(RslError, match="cannot tell who uses link 'rpu0'") as error:
        check_unused(machine.host, "rpu0")
    assert error.value.hint == "load the module rsl_mbox that came with this rslctl"


@pytest.mark.parametrize("offset", [-4, 2, 0x1000000 - measure.BLOCK + 4])
def test_a_place_to_write_at_has_to_be_in_the_memory(machine: Machine, offset: int) -> None:
    machine.with_link()
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/vector0/bound", "\n")
    link = mbox.pick(machine.host, None)
    with pytest.raises(UsageError, match=rf"--write-at: {offset:#x} "):
        measure.run(machine.host, link, measure.Settings(("chardev",), write_at=offset), print)


def test_a_page_of_a_run_without_memory_says_nothing_of_it() -> None:
    assert "MB/s" not in report.html(report.run(document(memory=False)))
    assert "MB/s" in report.html(report.run(document()))
