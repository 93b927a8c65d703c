# SPDX-License-Identifier: BSD-3-Clause
"""What rslctl bench makes of what it measures; tests/guest/test_rslctl_bench.py measures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.bench import measure
from rslctl.errors import RslError, UsageError
from rslctl.linux import mbox

from tests.unit.machine import Machine
from tests.unit.remotes import STATE, set_up

TIMES = st.lists(st.integers(1, 10**10), min_size=1, max_size=50)


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


@pytest.mark.parametrize(
    ("attribute", "value", "how"),
    [("open_files", "1", "is open"), ("vector2/bound_kick", "1", "vector 2 has eventfds")],
)
def test_a_link_in_use_is_left_alone(
    machine: Machine, attribute: str, value: str, how: str
) -> None:
    machine.with_link()
    machine.with_eventfds()
    machine.write(f"/sys/class/rsl_mbox/rsl_mbox0/{attribute}", f"{value}\n")
    link = mbox.pick(machine.host, None)
    with pytest.raises(RslError, match=f"link 'rpu0' is in use: .*{how}"):
        measure.run(machine.host, link, measure.Settings(("chardev",), vector=2), print)
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


@pytest.mark.parametrize("offset", [-4, 2, 0x1000000 - measure.BLOCK + 4])
def test_a_place_to_write_at_has_to_be_in_the_memory(machine: Machine, offset: int) -> None:
    machine.with_link()
    machine.with_eventfds()
    link = mbox.pick(machine.host, None)
    with pytest.raises(UsageError, match=rf"--write-at: {offset:#x} "):
        measure.run(machine.host, link, measure.Settings(("chardev",), write_at=offset), print)


@pytest.mark.parametrize("state", ["offline", "crashed"])
def test_a_remote_that_does_not_run_is_not_rung(machine: Machine, state: str) -> None:
    set_up(machine).with_remote(state)
    machine.with_eventfds()
    link = mbox.pick(machine.host, None)
    settings = measure.Settings(("chardev",))
    with pytest.raises(RslError, match=f"the remote of link 'rpu0' is {state}: nobody there"):
        measure.run(machine.host, link, settings, print)
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


def test_a_remote_that_stops_between_two_rounds_is_not_rung_any_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(machine).with_remote("running")
    machine.with_eventfds()
    rounds = []

    def sample(*_: object) -> None:
        rounds.append(machine.write(STATE, "offline\n"))

    for name in ("_sample", "_sample_wakes", "_burst", "_settle"):
        monkeypatch.setattr(measure, name, sample if name == "_sample" else lambda *_: None)
    monkeypatch.setattr(mbox.Mailbox, "read", lambda _: 0)
    link = mbox.pick(machine.host, None)
    with pytest.raises(RslError, match="the remote of link 'rpu0' is offline: nobody there"):
        measure.run(machine.host, link, measure.Settings(("chardev",)), print)
    assert len(rounds) == 1
