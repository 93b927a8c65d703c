# SPDX-License-Identifier: BSD-3-Clause
"""The paths that bench compares: what they want of a link."""

from __future__ import annotations

import pytest
from rslctl.bench import paths
from rslctl.bench.paths import check_unused
from rslctl.errors import RslError
from rslctl.linux import mbox
from rslctl.linux.host import DEVICE_TREE

from tests.unit.machine import Machine


def test_uio_wants_a_link_without_eventfds_on_any_vector(machine: Machine) -> None:
    machine.with_link()
    machine.with_eventfds(vector=3)
    check_unused(machine.host, "rpu0", [0])
    with pytest.raises(RslError, match="link 'rpu0' is in use: vector 3 has eventfds"):
        check_unused(machine.host, "rpu0")


def test_a_module_that_cannot_tell_who_uses_a_link_is_too_old(machine: Machine) -> None:
    machine.with_link()
    with pytest.raises(RslError, match="cannot tell who uses link 'rpu0'") as error:
        check_unused(machine.host, "rpu0")
    assert error.value.hint == "load the module rsl_mbox that came with this rslctl"


def test_the_character_device_is_kicked_by_the_mask_of_the_vector(machine: Machine) -> None:
    link = mbox.pick(machine.with_link().host, None)
    with paths.CharDevice(machine.host, link, 3) as path:
        path.kick()
    assert machine.host.read("/dev/rsl_mbox0") == b"\x08\0\0\0"


def test_sysfs_is_kicked_by_the_number_of_the_vector(machine: Machine) -> None:
    link = mbox.pick(machine.with_link().host, None)
    with (
        pytest.raises(RslError, match=r"cannot open '.*/rsl_mbox0/kick': No such file"),
        paths.Sysfs(machine.host, link, 3),
    ):
        pass
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/kick", "")
    with paths.Sysfs(machine.host, link, 3) as path:
        path.kick()
        path.kick()
    assert machine.host.read("/sys/class/rsl_mbox/rsl_mbox0/kick") == b"3"


@pytest.mark.parametrize(("vector", "node"), [(1, "rsl-mbox@8020040"), (0, "other")])
def test_uio_takes_only_the_first_vector_of_a_doorbell(
    machine: Machine, vector: int, node: str
) -> None:
    machine.with_device_tree().with_driver().with_link()
    machine.write(f"{DEVICE_TREE}/other/label", b"rpu0\0")
    of_node = machine.root / "sys/bus/platform/devices/8020040.rsl-mbox/of_node"
    of_node.unlink()
    of_node.symlink_to(machine.path(f"{DEVICE_TREE}/{node}"))
    link = mbox.pick(machine.host, None)
    with (
        pytest.raises(RslError, match=f"vector {vector} of link 'rpu0' is nothing for UIO"),
        paths.Uio(machine.host, link, vector),
    ):
        pass


def test_every_path_has_a_name_of_its_own_and_uio_is_the_last() -> None:
    assert list(paths.PATHS) == ["chardev", "eventfd", "sysfs", "uio"]
