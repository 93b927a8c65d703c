# SPDX-License-Identifier: BSD-3-Clause
"""Device trees of files and machines, and what their properties mean."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.unit.machine import Machine


def cells(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def made(**nodes: dict[str, bytes]) -> tree.Tree:
    """A tree of a root with a GIC (phandle 1), and of nodes below it."""
    gic = {"phandle": cells(1), "#interrupt-cells": cells(3), "#address-cells": cells(0)}
    root = {"interrupt-parent": cells(1), "#address-cells": cells(2), "#size-cells": cells(1)}
    below = {f"/{name.replace('__', '/')}": each for name, each in nodes.items()}
    return tree.Tree("test", {"/": root, "/gic": gic, **below})


def test_an_address_is_translated_through_every_bus_above_it() -> None:
    soc = {
        "#address-cells": cells(1),
        "#size-cells": cells(1),
        "ranges": cells(0x1000, 1, 0x80000000, 0x1000),
    }
    same = {"#address-cells": cells(1), "#size-cells": cells(1), "ranges": b""}
    given = made(soc=soc, soc__bus=same, soc__bus__dev={"reg": cells(0x1800, 0x10, 0x9000, 0x10)})
    # The second is in no range of the bus, so the processor does not see it.
    assert given.regions("/soc/bus/dev") == [Region(0x1_8000_0800, 0x10)]


@pytest.mark.parametrize("above", [{}, {"ranges": b"", "device_type": b"pci\0"}])
def test_what_the_processor_does_not_see_is_no_region(above: dict[str, bytes]) -> None:
    one = {"#address-cells": cells(1), "#size-cells": cells(1)}
    given = made(bus={**one, **above}, bus__dev={"reg": cells(0x1000, 0x10)})
    assert given.regions("/bus/dev") == []


def test_a_node_without_size_or_with_half_a_reg_has_no_region() -> None:
    bus = {"#address-cells": cells(1), "#size-cells": cells(0), "ranges": b""}
    given = made(bus=bus, bus__dev={"reg": cells(0x50)}, half={"reg": cells(0, 0x1000)})
    assert given.regions("/bus/dev") == given.regions("/half") == given.regions("/none") == []


def test_interrupts_are_found_by_each_property_that_says_them() -> None:
    given = made(
        plain={"interrupts": cells(0, 40, 4, 0, 41, 1)},
        extended={"interrupts-extended": cells(1, 0, 42, 4)},
        pci={
            "#address-cells": cells(3),
            "#interrupt-cells": cells(1),
            "interrupt-map": cells(0, 0, 0, 1, 1, 0, 43, 4),
        },
    )
    spis = {path: [each.cells[1] for each in given.interrupts(path)] for path in given.nodes}
    assert spis == {"/": [], "/gic": [], "/plain": [40, 41], "/extended": [42], "/pci": [43]}
    assert {each.controller for each in given.interrupts("/plain")} == {"/gic"}


def test_interrupts_belong_to_the_controller_at_the_top_of_a_chain() -> None:
    given = made(
        gpc={"phandle": cells(2), "#interrupt-cells": cells(3)},
        ring={"phandle": cells(3), "interrupt-parent": cells(4)},
        other={"phandle": cells(4), "interrupt-parent": cells(3)},
    )
    assert given.top_controller("/gpc") == "/gic"
    assert given.top_controller("/ring") == "/other"  # and does not go on for ever


def test_a_node_is_off_where_one_above_it_is() -> None:
    given = made(
        bus={"status": b"disabled\0"}, bus__dev={"status": b"okay\0"}, bad={"status": b"fail\0"}
    )
    assert [given.enabled(path) for path in ("/", "/bus/dev", "/bad")] == [True, False, False]
    assert [given.idle(path) for path in ("/", "/bus/dev", "/bad")] == [False, True, False]
    assert given.with_status({"/bus": "okay"}).enabled("/bus/dev")


def test_a_node_is_found_by_its_label_before_its_paths() -> None:
    given = made(other={})
    given.nodes["/__symbols__"] = {"gic": b"/gic\0", "old": b"/gone\0"}
    assert given.find(NodeRef("gic", ("/other",))) == "/gic"
    assert given.find(NodeRef("old", ("/none", "/other"))) == "/other"
    assert given.find(NodeRef("nothing")) is None


def test_the_running_tree_is_read_as_it_is(machine: Machine) -> None:
    assert tree.from_machine(machine.host).nodes == {}
    now = tree.from_machine(machine.with_device_tree().host)
    assert now.texts("/rsl-mbox@8020040", "label") == ["rpu0"]
    assert now.regions("/reserved-memory/memory@70000000") == [machine.board.links[0].memory]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 10000])
def test_a_property_is_read_whole_though_sysfs_gives_a_page_at_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = os.urandom(size)
    machine.write(f"{DEVICE_TREE}/long", data)
    read = os.read
    # kernfs_file_read_iter() of fs/kernfs/file.c.
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 4096)))
    assert tree.from_machine(machine.host).nodes["/"]["long"] == data


def test_a_tree_that_cannot_be_read_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write(f"{DEVICE_TREE}/x", b"")

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(RslError, match="cannot read the device t"):
        patch.setattr(os, "read", refused)
        tree.from_machine(machine.host)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "reg",
                "ranges",
                "interrupts",
                "interrupt-map",
                "mboxes",
                "interrupts-extended",
                "#address-cells",
                "#size-cells",
                "#interrupt-cells",
                "phandle",
                "interrupt-parent",
                "status",
            ]
        ),
        st.binary(max_size=40),
    )
)
def test_whatever_a_node_holds_its_meaning_can_be_asked_for(properties: dict[str, bytes]) -> None:
    given = made(dev=properties, dev__below=properties)
    for path in given.nodes:
        assert all(region.size for region in given.regions(path))
        given.interrupts(path)
        given.specifiers(path, "mboxes", "#mbox-cells")
        given.top_controller(path)
