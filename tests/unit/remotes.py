# SPDX-License-Identifier: BSD-3-Clause
"""Links that are set up, with a remote that something boots."""

from __future__ import annotations

from tests.unit.machine import Machine

STATE = "/sys/class/remoteproc/remoteproc0/state"
FIRMWARE = "/sys/class/remoteproc/remoteproc0/firmware"
RECOVERY = "/sys/class/remoteproc/remoteproc0/recovery"
OPEN_FILES = "/sys/class/rsl_mbox/rsl_mbox0/open_files"


def set_up(machine: Machine, **facts: str) -> Machine:
    """The link of a machine, up, whose remote the node /remote boots."""
    machine.with_device_tree().with_driver().with_link()
    return machine.with_journal({"remoteproc": "/remote", **facts})


def was_written(machine: Machine, word: str) -> bool:
    """Whether a word was written to the remote's state."""
    # A file, unlike an attribute, keeps what stood behind that.
    return machine.host.read_text(STATE).startswith(word)
