# SPDX-License-Identifier: BSD-3-Clause
"""A link whose node says wakeup-source wakes the system."""

from __future__ import annotations

import errno
import re
import time
from pathlib import Path

from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest.remote import Remote

STATS = Path("/sys/power/suspend_stats/success")

#: Between two notifications, a second or so.
PAUSE = 300_000_000
ROUNDS = 8


def interrupt(link: mbox.LinkDevice, vector: int) -> int:
    table = Path("/proc/interrupts").read_text()
    (number,) = re.findall(rf"^ *(\d+):.* {link.device}:{vector}$", table, re.MULTILINE)
    return int(number)


def sleep() -> None:
    """Suspend to idle until something wakes the system."""
    for _ in range(ROUNDS):
        try:
            Path("/sys/power/state").write_text("freeze")
            return
        except OSError as error:
            # It was woken on its way to sleep.
            assert error.errno == errno.EBUSY
    raise AssertionError("the system does not go to sleep")


def test_a_notification_wakes_the_system_and_is_not_lost(
    link: mbox.LinkDevice, remote: Remote
) -> None:
    device = Path(f"/sys/class/rsl_mbox/{link.device}/device")
    assert (device / "power/wakeup").read_text() == "enabled\n"
    sleeps = int(STATS.read_text())
    notified = mbox.counters(Host(), link)[1].notifications
    sent = remote.counts(1)["notify_sent"]
    remote.flood(1 << 1, ROUNDS, PAUSE)
    sleep()
    assert int(STATS.read_text()) == sleeps + 1
    assert int(Path("/sys/power/pm_wakeup_irq").read_text()) == interrupt(link, 1)
    Remote.until(lambda: remote.flood_left() == 0, "the remote does not end")
    time.sleep(0.1)
    assert remote.counts(1)["notify_sent"] == sent + ROUNDS
    assert mbox.counters(Host(), link)[1].notifications == notified + ROUNDS
