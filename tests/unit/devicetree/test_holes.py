# SPDX-License-Identifier: BSD-3-Clause
"""Holes in a board's RAM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.devicetree.holes import Holes, Running
from rslctl.devicetree.memory import Memory
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.profile.cores import BITS_32, CORES, Range
from rslctl.region import Region

from tests.unit.devicetree.trees import Nodes, Value, board

MIB = 0x100000
SIZE = 16 * MIB


def reserved(base: int, size: int, **more: Value) -> Nodes:
    cells: dict[str, Value] = {"#address-cells": (1,), "#size-cells": (1,), "ranges": None}
    name = f"/reserved-memory/taken@{base:x}"
    return {"/reserved-memory": cells, name: {"reg": (base, size), "no-map": None, **more}}


def pool(size: int, first: int, length: int) -> Nodes:
    cells: dict[str, Value] = {"#address-cells": (1,), "#size-cells": (1,), "ranges": None}
    given: dict[str, Value] = {
        "compatible": "shared-dma-pool",
        "reusable": None,
        "size": (size,),
        "alloc-ranges": (first, length),
    }
    return {"/reserved-memory": cells, "/reserved-memory/linux,cma": given}


def hole(
    tree: Tree,
    size: int = SIZE,
    *,
    running: Running = Running(),  # noqa: B008 -- frozen
    ranges: tuple[Range, ...] = BITS_32,
    others: tuple[Region, ...] = (),
) -> tuple[Region, list[str]]:
    return Holes(tree, running, size).find(size, ranges, list(others))


def test_it_is_in_the_third_quarter_of_ram() -> None:
    assert hole(board("x", {}))[0] == Region(0x70000000, SIZE)


@pytest.mark.parametrize("status", ["okay", "reserved", "disabled"])
def test_it_is_beside_what_is_reserved_or_in_use(status: str) -> None:
    """Where it would be otherwise, and on one side of that."""
    framebuffer: Nodes = {"/fb@70000000": {"reg": (0x70000000, 2 * SIZE), "status": status}}
    for nodes in (framebuffer, reserved(0x70000000, 2 * SIZE, status=status)):
        found = hole(board("x", nodes))[0]
        free = Region(0x70000000 if status == "disabled" else 0x6F000000, SIZE)
        assert found == free


def test_it_is_where_the_core_reaches() -> None:
    ranges = (Range(0, 0x44000000, 0x1000000), Range(0, 0x10000000, 0x1000000))
    assert hole(board("x", {}), ranges=ranges)[0] == Region(0x44000000, SIZE)
    with pytest.raises(
        RslError,
        match=r"no hole of 0x2000000 bytes in the RAM that the core "
        r"reaches, 0x44000000 to 0x45000000$",
    ):
        hole(board("x", {}), 2 * SIZE, ranges=ranges)
    with pytest.raises(RslError, match=r"no hole of 0x1000000 bytes that the core reaches$"):
        hole(board("x", {}), ranges=ranges[1:])


def test_linux_keeps_half_of_its_ram() -> None:
    half = (Region(0x40000000, 0x20000000 - SIZE),)
    assert hole(board("x", {}), others=half)[0].base >= 0x60000000 - SIZE
    with pytest.raises(RslError, match=r"less than half of its RAM, 0x40000000 bytes$"):
        hole(board("x", {}), SIZE + 0x1000, others=half)


def test_it_leaves_room_for_pools() -> None:
    tree = board("x", pool(0x2F000000, 0x50000000, 0x30000000))
    found = hole(tree)[0]
    assert not Memory(tree).displaced([found])
    # A pool that needs all of its range.
    tree = board("x", pool(0x30000000, 0x50000000, 0x30000000))
    assert hole(tree)[0].end <= 0x50000000


def test_what_the_running_kernel_uses_is_left_alone() -> None:
    running = Running((Region(0x40000000, 0x38000000),), (Region(0x68000000, 0x8000000),))
    found, said = hole(board("x", {}), running=running)
    assert found.end <= 0x68000000 or 0x70000000 <= found.base < found.end <= 0x78000000
    assert any("the running kernel does not use it" in text for text in said)


def test_ram_is_the_kernels_if_the_tree_does_not_say_it() -> None:
    running = Running((Region(0x80000000, 0x10000000),), ())
    found, said = hole(board("fsl,imx8mm", {}, ram=None), running=running)
    assert found == Region(0x8C000000, SIZE)
    assert said[0].startswith("Found: RAM is what the running kernel has")


@pytest.mark.parametrize("ram", [None, (0x40000000, 0)])
def test_ram_is_assumed_if_nothing_says_it(ram: Value) -> None:
    tree = board("fsl,imx8mm", {}, ram=ram)
    found, said = hole(tree)
    assert found == Region(0x4C000000, SIZE)
    assert said[0].startswith("Assumed: RAM from 0x40000000 to 0x50000000 at least")


def test_without_ram_and_without_an_soc_there_is_none() -> None:
    with pytest.raises(RslError, match="does not say where RAM is"):
        hole(board("vendor,chip", {}, ram=None))


@given(
    st.lists(st.tuples(st.integers(0, 1023), st.integers(1, 200)), max_size=12),
    st.sampled_from(sorted(CORES)),
    st.integers(1, 64),
)
def test_a_hole_is_free_whatever_is_reserved(
    taken: list[tuple[int, int]], core: str, size: int
) -> None:
    """In RAM of 1 GiB; what is reserved, and the size, are in MiB."""
    nodes: dict[str, dict[str, Value]] = {
        "/reserved-memory": {"#address-cells": (1,), "#size-cells": (1,), "ranges": None}
    }
    regions = [Region(0x40000000 + at * MIB, length * MIB) for at, length in taken]
    for n, each in enumerate(regions):
        nodes[f"/reserved-memory/r{n}"] = {"reg": (each.base, each.size)}
    tree = board("x", nodes)
    ranges = CORES[core].ranges
    try:
        found, _ = hole(tree, size * MIB, ranges=ranges)
    except RslError as error:
        assert f"no hole of {size * MIB:#x} bytes" in str(error)
        return
    assert found.size == size * MIB
    assert Region(0x40000000, 0x40000000).contains(found)
    assert not any(found.overlaps(each) for each in regions)
    assert any(each.seen_by_linux.contains(found) for each in ranges)
