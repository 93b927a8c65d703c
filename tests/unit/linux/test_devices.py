# SPDX-License-Identifier: BSD-3-Clause
"""Devices and their nodes, waited for."""

from __future__ import annotations

import ctypes.util
import sys
import threading
import time

import pytest
from rslctl.errors import RslError, WaitTimeoutError
from rslctl.linux import devices

from tests.unit.machine import Machine

PARENT = "/sys/bus/platform/devices/8020040.rsl-mbox"


def test_a_device_is_ready_when_its_node_is_there_and_udev_is_done_with_it(
    machine: Machine,
) -> None:
    machine.with_device_tree().with_link()
    assert devices.is_ready(machine.host, "rsl_mbox", "rsl_mbox0")
    machine.write("/run/udev/control", "")
    assert not devices.is_ready(machine.host, "rsl_mbox", "rsl_mbox0")
    machine.write("/run/udev/data/c240:0", "")
    assert devices.is_ready(machine.host, "rsl_mbox", "rsl_mbox0")
    machine.host.remove("/dev/rsl_mbox0")
    assert not devices.is_ready(machine.host, "rsl_mbox", "rsl_mbox0")


def test_a_device_is_found_below_its_parent_by_its_subsystem(machine: Machine) -> None:
    machine.with_device_tree().with_link()
    machine.write("/sys/class/rsl_mbox/rsl_mbox1/label", "orphan\n")
    assert devices.below(machine.host, "rsl_mbox", PARENT) == "rsl_mbox0"
    assert devices.below(machine.host, "uio", PARENT) is None
    assert devices.below(machine.host, "rsl_mbox", "/sys/bus/platform/devices/other") is None


@pytest.mark.parametrize("udev", [True, False])
def test_a_change_is_over_when_udev_has_processed_it(machine: Machine, udev: bool) -> None:
    machine.with_link()
    entry = machine.write("/run/udev/data/c240:0", "old")
    if udev:
        machine.write("/run/udev/control", "")
    written = threading.Event()

    def process() -> None:
        time.sleep(0.2)
        new = entry.with_name("new")
        new.write_text("new")
        written.set()
        new.rename(entry)

    thread = threading.Thread(target=process)
    with devices.changing(machine.host, "rsl_mbox", "rsl_mbox0", 20):
        thread.start()
    assert written.is_set() == udev
    thread.join()


def test_an_udev_that_does_nothing_is_not_waited_for_longer(machine: Machine) -> None:
    machine.with_link().write("/run/udev/control", "")
    began = time.monotonic()
    with devices.changing(machine.host, "rsl_mbox", "rsl_mbox0", 0.1):
        pass
    assert 0.1 <= time.monotonic() - began < 10


needs_libudev = pytest.mark.skipif(
    not ctypes.util.find_library("udev"), reason="libudev is missing: package libudev1"
)


@needs_libudev
def test_what_has_come_already_is_not_waited_for(machine: Machine) -> None:
    looks = iter([True])
    devices.wait(machine.host, "rsl_mbox", "it", lambda: next(looks), 0)
    assert list(looks) == []


@needs_libudev
def test_what_does_not_come_is_named_with_the_time_that_it_had(machine: Machine) -> None:
    with pytest.raises(WaitTimeoutError, match=r"^device of /n did not come up in 0\.05 s$"):
        devices.wait(machine.host, "rsl_mbox", "device of /n", lambda: False, 0.05)


def test_a_machine_without_libudev_is_told_which_package_has_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyudev", None)
    with pytest.raises(RslError, match="cannot wait for devices: ") as error:
        devices.wait(machine.host, "rsl_mbox", "it", lambda: True, 0)
    assert error.value.hint == "install libudev (package libudev1)"
