# SPDX-License-Identifier: BSD-3-Clause
"""What has to be so before a link can come up."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE
from rslctl.region import Region
from rslctl.setup import checks

from tests.command_line import Rslctl
from tests.unit.machine import Machine
from tests.unit.setup.support import journal, up


def test_a_machine_that_matches_has_nothing_to_say(machine: Machine) -> None:
    assert checks.machine(machine.board, tree.from_machine(machine.with_device_tree().host)) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "/compatible",
            b"xlnx,zynqmp\0",
            "not board 'qemu-virt': its compatible is ['xlnx,zynqmp']",
        ),
        ("/rsl-mbox@8020040/label", b"rpu1\0", 'label is "rpu1", the profile says "rpu0"'),
        ("/rsl-mbox@8020040/memory-region", b"\0\0\0\7", "memory-region is <7>, the profile says"),
        ("/rsl-mbox@8020040/reg", b"\0\0\0", "reg is b'\\x00\\x00\\x00', the profile says <0 0x8"),
        ("/rsl-mbox@8020040/label", None, 'label is missing, the profile says "rpu0"'),
        ("/intc@8000000/v2m@8020000/status", b"okay\0", 'status is "okay", the profile says'),
        ("/reserved-memory/memory@70000000/no-map", None, "no-map is missing, the profile says pr"),
    ],
)
def test_a_machine_that_does_not_match_is_refused_with_what_differs(
    machine: Machine, file: str, content: bytes | None, message: str
) -> None:
    machine.with_device_tree()
    if content is None:
        machine.path(DEVICE_TREE + file).unlink()
    else:
        machine.write(DEVICE_TREE + file, content)
    machine.with_driver()
    with pytest.raises(RslError) as error:
        up(machine)
    assert message in str(error.value)
    assert not journal(machine).exists()


def test_a_machine_without_a_device_tree_is_refused(machine: Machine, rslctl: Rslctl) -> None:
    status, _, err = rslctl("setup", "--board", "qemu-virt", "--root", machine.root)
    assert status == 1
    assert "this machine has no device tree in " in err


def memory(machine: Machine, region: Region | None = None) -> list[str]:
    """What the checks of the link's memory find, where it is at *region*."""
    link = dataclasses.replace(machine.board.links[0], firmware=None)
    link = dataclasses.replace(link, memory=region or link.memory)
    now = tree.from_machine(machine.host)
    found = checks.memory(machine.host, machine.board, now, link)
    return [f"{each.level}: {each.text}" for each in found]


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (Region(0x70000000, 0x1000), []),
        (
            Region(0x6FFFF000, 0x2000),
            [
                "error: link rpu0: memory 0x6ffff000-0x70000fff is not reserved by a node of",
                "error: link rpu0: memory 0x6ffff000-0x70000fff overlaps /reserved-memory/",
                "error: link rpu0: memory 0x6ffff000-0x70000fff is System RAM (0x60000000-0x6f",
            ],
        ),
        (
            Region(0x20000000, 0x1000),
            ["error: link rpu0: memory 0x20000000-0x20000fff is not reserved by a node of"],
        ),
    ],
)
def test_memory_that_is_not_the_links_alone_is_named(
    machine: Machine, region: Region, said: list[str]
) -> None:
    found = memory(machine.with_device_tree(), region)
    assert [text[: len(start)] for text, start in zip(found, said, strict=True)] == said


def test_memory_that_linux_maps_too_is_named(machine: Machine) -> None:
    machine.with_device_tree()
    machine.host.remove(f"{DEVICE_TREE}/reserved-memory/memory@70000000/no-map")
    (found,) = memory(machine)
    assert "is reserved by /reserved-memory/memory@70000000 without no-map" in found


def test_a_reservation_that_the_kernel_refused_is_named(machine: Machine) -> None:
    """An imx8qm-apalis whose kernel said "failed to reserve memory" for the node."""
    machine.with_device_tree()
    machine.write("/proc/iomem", "40000000-7fffffff : System RAM\n")
    board = machine.board
    now = tree.from_machine(machine.host)
    (found, *_) = checks.memory(machine.host, board, now, board.links[0])
    assert "System RAM" in found.text
    assert "the kernel refused the reservation, which the tree has" in found.text
    assert "no-map" not in found.remedy
    assert "move the profile's memory, or the boot loader's" in found.remedy


@pytest.mark.parametrize("text", ["nonsense\n", "00000000-00000000 : System RAM\n"])
def test_memory_whose_addresses_are_hidden_is_unknown(machine: Machine, text: str) -> None:
    machine.with_device_tree()
    machine.write("/proc/iomem", text)
    (found,) = memory(machine)
    assert found.startswith("unknown: ")


def test_memory_of_an_image_is_unknown(machine: Machine) -> None:
    assert [each.partition(":")[0] for each in memory(machine)] == ["unknown", "unknown"]


def test_a_doorbell_that_a_driver_has_is_named(machine: Machine) -> None:
    machine.with_device_tree()
    node = machine.write(
        f"{DEVICE_TREE}/other@8020040/reg", bytes.fromhex("00000000080200400000000000000004")
    )
    device = machine.write("/sys/bus/platform/devices/other/uevent", "").parent
    (device / "of_node").symlink_to(node.parent)
    board, link = machine.board, machine.board.links[0]
    now = tree.from_machine(machine.host)
    assert checks.channels(machine.host, board, now, link) == []
    (device / "driver").symlink_to("/drivers/other-driver")
    (found,) = checks.channels(machine.host, board, now, link)
    assert found.text == (
        "the doorbell's register 0x8020040-0x8020043 is in use by /other@8020040, "
        "driver other-driver"
    )
