# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of "make bench" run and are complete; how long anything takes does not count."""

from __future__ import annotations

import pytest

from tests.bench import board, figures
from tests.guest.support import REAL_TIME

#: Differences of two times.
DIFFERENCES = ("chardev.kick-alone", "flood-1.cost", "flood-32.cost", "flood-32-at-once.cost")


@pytest.mark.skipif(
    REAL_TIME, reason="handlers are threads there, so a notification may coalesce with the next"
)
def test_every_figure_is_there_and_only_the_client_that_defers_loses_notifications() -> None:
    document = board.measure(rounds=2, samples=40)
    print(figures.table(document))
    assert [row["what"] for row in document["ratios"]] == [
        each.what for each in figures.COMPARISONS
    ]
    for name, statistics in document["measured"].items():
        for rounds in statistics.values():
            assert len(rounds) == 2, name
            assert name in DIFFERENCES or min(rounds) > 0, name
    messages = document["messages"]
    assert messages["mbox"]["lost"] == [0, 0]
    assert min(messages["deferring"]["lost"]) > 0
    assert messages["mbox"]["sent"] == messages["deferring"]["sent"]
    # One system call per wake-up, however many vectors it is for.
    assert document["per_read"] == {
        "flood-1": [1, 1],
        "flood-32": [1, 1],
        "flood-32-at-once": [32, 32],
    }
