# SPDX-License-Identifier: BSD-3-Clause
"""What a remote needs beside its link."""

from __future__ import annotations

import os

import pytest
from rslctl.devicetree import tree
from rslctl.linux.host import DEVICE_TREE
from rslctl.profile import model, reader
from rslctl.setup import remote_checks

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.faults import linux_has_it, whole, without_driver

LISTS = f"/lib/modules/{os.uname().release}"
CLUSTER = "/remoteproc@ffe00000"
R5 = f"{CLUSTER}/r5f@0"


def said(machine: Machine, board: model.Board) -> list[str]:
    now = tree.from_machine(machine.host)
    found = remote_checks.driver(machine.host, now, board.links[0])
    return [f"{each.text}; {each.remedy}" for each in found]


def device(machine: Machine, node: str, driver: str) -> None:
    place = machine.path(f"/sys/bus/platform/devices/{node[1:]}")
    place.mkdir(parents=True, exist_ok=True)
    (place / "of_node").symlink_to(machine.path(DEVICE_TREE + node))
    if driver:
        (place / "driver").symlink_to(f"/drivers/{driver}")


def test_a_kernel_without_the_remotes_driver_is_told_with_its_option(machine: Machine) -> None:
    board = without_driver(whole(machine))
    device(machine, CLUSTER, "")
    (text,) = said(machine, board)
    assert f"this kernel, {os.uname().release}, has no driver for {CLUSTER}" in text
    assert "build the kernel with CONFIG_XLNX_R5_REMOTEPROC" in text
    for node in (CLUSTER, R5):
        machine.write(f"{DEVICE_TREE}{node}/compatible", b"vendor,cluster\0")
    (text,) = said(machine, board)
    assert "(vendor,cluster)" in text and "its driver of drivers/remoteproc" in text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.alias", "alias of:N*T*Cxlnx,zynqmp-r5fssC* xlnx_r5_remoteproc\n"),
        # That of newer kernels.
        (
            "modules.builtin.modinfo",
            "xlnx_r5_remoteproc.license=GPL\0"
            "xlnx_r5_remoteproc.alias=of:N*T*Cxlnx,zynqmp-r5fssC*\0",
        ),
        ("modules.builtin", "kernel/drivers/remoteproc/xlnx_r5_remoteproc.ko\n"),
    ],
)
def test_a_driver_that_is_not_loaded_is_named(machine: Machine, file: str, content: str) -> None:
    board = without_driver(whole(machine))
    machine.write(f"{LISTS}/{file}", content)
    (text,) = said(machine, board)
    assert f"{CLUSTER} has no driver yet, and this kernel has one, xlnx_r5_remoteproc" in text
    assert "modprobe xlnx_r5_remoteproc" in text


def test_a_driver_that_refuses_the_remote_is_named(machine: Machine) -> None:
    board = without_driver(whole(machine))
    device(machine, CLUSTER, "zynqmp-r5-remoteproc")
    (text,) = said(machine, board)
    assert f"driver zynqmp-r5-remoteproc has {CLUSTER} and made no remote processor of" in text
    now = tree.from_machine(machine.host)
    assert remote_checks.without_driver(machine.host, now, board.links[0]) == []


def test_a_remote_that_is_disabled_is_told(machine: Machine) -> None:
    board = without_driver(whole(machine))
    machine.write(f"{DEVICE_TREE}{CLUSTER}/status", b"disabled\0")
    (text,) = said(machine, board)
    assert f"{R5}, which boots the remote, is disabled" in text


def test_nothing_is_said_where_the_kernel_does_not_tell(machine: Machine) -> None:
    board = without_driver(whole(machine))
    machine.host.remove(f"{LISTS}/modules.alias")
    assert said(machine, board) == []
    assert said(machine, machine.board) == []


def test_a_remote_that_the_kernel_has_needs_nothing_else(machine: Machine) -> None:
    board = without_driver(whole(machine))
    machine.with_remote("offline")
    machine.host.remove("/sys/bus/platform/devices/remote/of_node")
    place = machine.path("/sys/bus/platform/devices/remote/of_node")
    place.symlink_to(machine.path(f"{DEVICE_TREE}{R5}"))
    assert said(machine, board) == []


@pytest.mark.parametrize("bus", ["", "simple-bus"])
def test_a_node_on_a_bus_is_a_device_of_its_own(machine: Machine, bus: str) -> None:
    board = without_driver(whole(machine))
    if bus:
        machine.write(f"{DEVICE_TREE}{CLUSTER}/compatible", b"vendor,x\0simple-bus\0")
    (text,) = said(machine, board)
    assert ("no driver for /remoteproc@ffe00000/r5f@0 (xlnx,zynqmp-r5f)" in text) == bool(bus)


def test_setup_says_at_once_that_linux_cannot_boot_the_remote(
    machine: Machine, rslctl: Rslctl
) -> None:
    without_driver(whole(machine))
    profile = f'extends = "qemu-virt"\n[[link]]\nname = "rpu0"\n[link.remoteproc]\nnode = "{R5}"\n'
    machine.write("/etc/rslctl/boards/r5.toml", profile)
    place = f"{DEVICE_TREE}/reserved-memory"
    regions = [name for name in machine.host.names(place) if "@" in name]  # firmware, memory
    phandles = b"".join(machine.host.read(f"{place}/{name}/phandle") for name in regions)
    machine.write(f"{DEVICE_TREE}{R5}/memory-region", phandles)
    setup = ("setup", "--board", "r5", "--timeout", "60", "--root", machine.root)
    # The link comes up, for a remote that the boot loader starts.
    status, out, err = rslctl(*setup)
    assert "remote left to what boots it: rpu0: this kernel" in out, err
    status, out, err = rslctl(*setup, "--firmware", "r5.elf")
    assert (status, "CONFIG_XLNX_R5_REMOTEPROC" in err) == (1, True)
    assert "has no driver for /remoteproc@ffe00000 (xlnx,zynqmp-r5fss), so Linux cannot boot" in err


def test_a_device_of_the_remotes_that_is_linuxs_too_is_told(
    machine: Machine, rslctl: Rslctl
) -> None:
    board = linux_has_it(whole(machine))
    now = tree.from_machine(machine.host)
    (found,) = remote_checks.devices(machine.host, now, board.links[0])
    assert found.remedy.startswith('disable = ["&uart1 /serial@1"] in the profile')
    profile = 'extends = "qemu-virt"\n[[link]]\nname = "rpu0"\nremote-devices = "/serial@1"\n'
    machine.write("/etc/rslctl/boards/uart.toml", profile)
    status, out, _ = rslctl("setup", "--board", "uart", "--root", machine.root)
    assert status == 0
    assert "devices of the remote left to it: warning: rpu0: the remote's program uses /s" in out
    for status_of in (b"disabled\0", b"reserved\0"):
        machine.write(f"{DEVICE_TREE}/serial@1/status", status_of)
        now = tree.from_machine(machine.host)
        assert remote_checks.devices(machine.host, now, board.links[0]) == []
    machine.path(f"{DEVICE_TREE}/serial@1/status").unlink()
    machine.host.remove("/sys/bus/platform/devices/1.serial/driver")
    now = tree.from_machine(machine.host)
    (found,) = remote_checks.devices(machine.host, now, board.links[0])
    assert found.text.endswith("uses /serial@1, and it is Linux's too")


def test_the_published_programs_console_is_in_the_profile() -> None:
    (link,) = reader.load("zcu102").links
    assert link.remote_devices == (model.NodeRef("uart1", ("/axi/serial@ff010000",)),)
