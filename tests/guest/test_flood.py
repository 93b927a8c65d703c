# SPDX-License-Identifier: BSD-3-Clause
"""Floods in both directions: every kick and notification is accounted for."""

from __future__ import annotations

import os
import select

from rslctl.linux import mbox, uapi
from rslctl.linux.host import Host

from tests.guest.remote import Remote

TOTAL = 100_000

#: Loops between two notifications of a flood: some are taken one by one, others coalesce.
PAUSE = 2000


def test_100000_kicks_are_all_accounted_for_and_the_last_arrives(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    remote.answer(0)
    vectors = range(link.vectors)
    before = mbox.counters(Host(), link)
    taken = [remote.counts(n)["kick_taken"] for n in vectors]
    start = [remote.counts(n)["kick_sent"] for n in vectors]
    fd = os.open(link.node, os.O_WRONLY)
    masks = [uapi.MASK.pack(1 << n) for n in vectors]
    each = TOTAL // link.vectors
    for number in range(1, each + 1):
        for n in vectors:
            remote.set_kick_sent(n, start[n] + number)
            os.write(fd, masks[n])
    os.close(fd)
    last = [number + each for number in start]
    Remote.until(
        lambda: [remote.counts(n)["kick_seen"] for n in vectors] == last,
        "the last kick of a vector did not arrive",
    )
    after = mbox.counters(Host(), link)
    delivered = [remote.counts(n)["kick_taken"] - taken[n] for n in vectors]
    for n in vectors:
        assert after[n].kicks - before[n].kicks == each
        assert 1 <= delivered[n] <= each
    print(f"kicks: {TOTAL} sent, {sum(delivered)} taken, {TOTAL - sum(delivered)} coalesced")


def test_100000_notifications_are_all_accounted_for_and_the_last_arrives(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    remote.answer(0)
    vectors = range(link.vectors)
    before = mbox.counters(Host(), link)
    start = [remote.counts(n)["notify_sent"] for n in vectors]
    each = TOTAL // link.vectors
    reads = [0] * link.vectors
    seen = list(start)
    fd = os.open(link.node, os.O_RDONLY | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    remote.flood((1 << link.vectors) - 1, each, PAUSE)
    # What a reader finds in memory after its last wake has to be the last word.
    while poll.poll(5000):
        (mask,) = uapi.MASK.unpack(os.read(fd, 4))
        for n in mbox.vectors_of(mask):
            seen[n] = remote.counts(n)["notify_sent"]
            reads[n] += 1
        if seen == [number + each for number in start]:
            break
    assert seen == [number + each for number in start]
    Remote.until(lambda: not poll.poll(200) or not os.read(fd, 4), "the flood does not end")
    os.close(fd)
    after = mbox.counters(Host(), link)
    interrupts = [after[n].notifications - before[n].notifications for n in vectors]
    for n in vectors:
        assert 1 <= reads[n] <= interrupts[n] <= each
    print(
        f"notifications: {TOTAL} sent, {sum(interrupts)} interrupts, "
        f"{TOTAL - sum(interrupts)} coalesced, {sum(reads)} reads"
    )


def test_floods_in_both_directions_at_once(link: mbox.LinkDevice, remote: Remote) -> None:
    remote.answer(0)
    before = mbox.counters(Host(), link)
    start = [remote.counts(n) for n in range(link.vectors)]
    remote.flood(0b0110, 20_000, PAUSE)
    sent = 0
    with mbox.Mailbox(Host(), link) as mailbox:
        while remote.flood_left():
            sent += 1
            remote.set_kick_sent(0, start[0]["kick_sent"] + sent)
            mailbox.kick(1)
        Remote.until(
            lambda: remote.counts(0)["kick_seen"] == start[0]["kick_sent"] + sent,
            "the last kick did not arrive",
        )
        assert mailbox.read() & 0b0110 == 0b0110
    after = mbox.counters(Host(), link)
    now = [remote.counts(n) for n in range(link.vectors)]
    # The command that starts the flood is a kick of vector 0 of its own.
    assert after[0].kicks - before[0].kicks == sent + 1
    taken = now[0]["kick_taken"] - start[0]["kick_taken"]
    assert 1 < taken <= sent + 1
    interrupts = [after[n].notifications - before[n].notifications for n in (1, 2)]
    assert all(1 < number <= 20_000 for number in interrupts)
    print(f"at once: {sent} kicks, {taken} taken; 40000 notified, {sum(interrupts)} interrupts")
