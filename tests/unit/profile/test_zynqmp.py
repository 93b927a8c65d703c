# SPDX-License-Identifier: BSD-3-Clause
"""The inter-processor interrupts of the ZynqMP."""

from __future__ import annotations

import itertools

from rslctl.profile import zynqmp
from rslctl.profile.zynqmp import AGENTS


def test_no_two_agents_share_a_bit_registers_or_an_interrupt() -> None:
    for key in ("name", "bit", "registers", "spi", "outgoing", "incoming"):
        values = [getattr(agent, key) for agent in AGENTS.values()]
        assert len(set(values)) == len(AGENTS), key


def test_every_pair_of_agents_has_buffers_of_its_own() -> None:
    buffers = sorted(
        zynqmp.request(sender, receiver) + behind
        for sender, receiver in itertools.product(AGENTS.values(), repeat=2)
        for behind in (0, zynqmp.BUFFER_SIZE)
    )
    assert all(two - one >= zynqmp.BUFFER_SIZE for one, two in itertools.pairwise(buffers))


def test_the_buffers_are_those_of_the_published_demonstration() -> None:
    pl0, rpu0 = AGENTS[7], AGENTS[1]
    assert zynqmp.request(pl0, rpu0) == 0xFF990600
    assert zynqmp.request(rpu0, pl0) == 0xFF9900C0


def test_linux_takes_no_agent_that_the_firmware_or_it_itself_has() -> None:
    assert set(zynqmp.LOCAL) < set(zynqmp.REMOTE) < set(AGENTS)
    assert 0 not in zynqmp.REMOTE
    assert not {3, 4, 5, 6} & set(AGENTS)
