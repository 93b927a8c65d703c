# SPDX-License-Identifier: BSD-3-Clause
"""The steps of bringing a link up: seen, done and undone."""

from __future__ import annotations

import json
import os

import pytest
from rslctl.errors import RslError
from rslctl.setup import steps
from rslctl.setup.journal import Journal

from tests.unit.machine import Machine
from tests.unit.setup.support import down, journal, target, up, written


def test_owner_and_mode_are_journalled_and_put_back(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    node = machine.root / "dev/rsl_mbox0"
    node.chmod(0o600)
    assert up(machine, steps.Ownership(mode=0o640))[-1] == (
        "/dev/rsl_mbox0 has mode 0640",
        "done",
    )
    assert node.stat().st_mode & 0o777 == 0o640
    assert [entry["step"] for entry in json.loads(journal(machine).read_text())["entries"]] == [
        "owner"
    ]
    assert [result for _, result in down(machine)] == ["undone"]
    assert node.stat().st_mode & 0o777 == 0o600
    assert not journal(machine).exists()


def test_a_node_made_anew_is_not_given_an_old_owner(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    node = machine.root / "dev/rsl_mbox0"
    other = machine.root / "dev/other"
    other.write_bytes(b"")  # so that the new node has another inode
    node.unlink()
    other.rename(node)
    node.chmod(0o666)
    assert [result for _, result in down(machine)] == ["already undone"]
    assert node.stat().st_mode & 0o777 == 0o666


def test_a_device_held_by_another_driver_is_not_taken(machine: Machine) -> None:
    machine.with_device_tree().with_driver("other")
    with pytest.raises(RslError, match="held by driver 'other', not 'rsl_mbox_doorbell'"):
        up(machine)


def test_a_node_that_became_no_device_is_named(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    os.unlink(machine.root / "sys/bus/platform/devices/8020040.rsl-mbox/of_node")
    with pytest.raises(RslError, match="the kernel made no device of /rsl-mbox@8020040"):
        up(machine)


def test_a_bind_that_the_kernel_refuses_points_to_its_log(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    os.unlink(machine.root / "sys/bus/platform/devices/8020040.rsl-mbox/driver")
    os.unlink(machine.root / "sys/bus/platform/drivers/rsl_mbox_doorbell/bind")
    with pytest.raises(RslError, match=r"cannot write '8020040\.rsl-mbox' to ") as error:
        up(machine)
    assert "dmesg" in error.value.hint
    assert not journal(machine).exists()


def test_what_loading_the_module_bound_is_setups_to_undo(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    written(machine, "rpu1", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    up(machine)
    (entry,) = Journal.load(machine.host, "rpu0").entries
    assert (entry["step"], entry["plan"]["device"]) == ("driver", "8020040.rsl-mbox")
    up(machine)
    assert len(Journal.load(machine.host, "rpu0").entries) == 1
    assert [result for _, result in down(machine)] == ["undone"]
    unbound = machine.host.read_text("/sys/bus/platform/drivers/rsl_mbox_doorbell/unbind")
    assert unbound == "8020040.rsl-mbox"


def test_a_device_that_udev_is_not_done_with_is_waited_for(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    wanted = target(machine)
    there = steps.DeviceThere(wanted, "rsl_mbox", wanted.node)
    assert there.check()
    machine.write("/run/udev/control", "")
    assert not there.check()
    machine.write("/run/udev/data/c240:0", "")
    assert there.check()
