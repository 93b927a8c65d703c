# SPDX-License-Identifier: BSD-3-Clause
"""The records of the kernel's log."""

from __future__ import annotations

import os

import pytest
from rslctl.errors import RslError
from rslctl.linux import kernel_log, remoteproc

from tests.unit.machine import Machine
from tests.unit.setup.faults import log

LOG = """\
5,0,0,-;Linux version 6.12
6,7,1500,c;remoteproc remoteproc0: remote processor r5 is now up
 SUBSYSTEM=remoteproc
 DEVICE=+remoteproc:remoteproc0
4,8,1600,-,caller=T1;a\\x0ab; c
12,9,1700,-;systemd[1]: remote processor r5 is now up
nonsense
"""


def test_records_have_number_text_and_device(machine: Machine) -> None:
    machine.write("/dev/kmsg", LOG)
    found = [(each.number, each.text, each.device) for each in kernel_log.records(machine.host)]
    assert found == [
        (0, "Linux version 6.12", ""),
        (
            7,
            "remoteproc remoteproc0: remote processor r5 is now up",
            "+remoteproc:remoteproc0",
        ),
        (8, "a\\x0ab; c", ""),
        (9, "systemd[1]: remote processor r5 is now up", ""),
    ]
    assert kernel_log.next_number(machine.host) == 10
    machine.write("/dev/kmsg", "")
    assert kernel_log.next_number(machine.host) == 0


def test_a_log_that_cannot_be_read_is_told(machine: Machine) -> None:
    with pytest.raises(RslError, match=r"cannot read the kernel's log '.*/dev/kmsg': No such"):
        list(kernel_log.records(machine.host))


def test_what_is_overwritten_while_it_is_read_is_passed_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("/dev/kmsg", "")
    # devkmsg_read() of kernel/printk/printk.c: EPIPE once, then the oldest record, at last EAGAIN.
    answers: list[bytes | OSError] = [
        b"6,1,0,-;a\n",
        BrokenPipeError(),
        b"6,5,0,-;b\n DEVICE=+x:y\n",
        BlockingIOError(),
    ]

    def read(fd: int, size: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "read", read)
    found = [(each.number, each.device) for each in kernel_log.records(machine.host)]
    assert found == [(1, ""), (5, "+x:y")]


def test_starts_of_a_remote_are_counted_from_a_record_on(machine: Machine) -> None:
    machine.with_remote("running")
    processor = remoteproc.at(machine.host, "/remote")
    log(machine, 100, 200, 300)
    counts = [remoteproc.starts(machine.host, processor, since) for since in (0, 200, 201, 301)]
    assert counts == [3, 2, 1, 0]
