# SPDX-License-Identifier: BSD-3-Clause
"""The RAM of a tree, and the pools that the kernel places in it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.devicetree.memory import Memory, joined, without
from rslctl.devicetree.tree import Tree
from rslctl.region import Region

from tests.unit.devicetree.test_tree import cells

GIB = 0x40000000
MIB = 0x100000


def machine(*ram: tuple[int, int], **pools: dict[str, bytes]) -> Memory:
    """A tree with RAM of these starts and sizes, and nodes of /reserved-memory."""
    two = {"#address-cells": cells(1), "#size-cells": cells(1), "ranges": b""}
    row = [cell for region in ram for cell in region]
    nodes = {
        "/": two,
        "/reserved-memory": two,
        **({"/memory": {"device_type": b"memory\0", "reg": cells(*row)}} if ram else {}),
        **{f"/reserved-memory/{name}": properties for name, properties in pools.items()},
    }
    return Memory(Tree("test", nodes))


def pool(size: int, *ranges: int, **more: bytes) -> dict[str, bytes]:
    within = {"alloc-ranges": cells(*ranges)} if ranges else {}
    return {"size": cells(size), **within, **more}


@pytest.mark.parametrize(
    ("ram", "region", "inside"),
    [
        # imx7d-pico-pi.dtb: memory reg <0x80000000 0>, which the boot loader fills in.
        ([(0x80000000, 0)], Region(0x60000000, MIB), False),
        ([(0x80000000, 0)], Region(0x7FF80000, MIB), False),
        ([(0x80000000, 0)], Region(0xBF000000, MIB), None),
        ([(0x40000000, GIB), (0xC0000000, 0)], Region(0x50000000, MIB), True),
        ([(0x40000000, GIB), (0xC0000000, 0)], Region(0x90000000, MIB), False),
        ([(0x40000000, GIB), (0xC0000000, 0)], Region(0xC0000000, MIB), None),
        ([(0x40000000, GIB), (0x80000000, GIB)], Region(0x7FF80000, MIB), True),
        ([], Region(0, MIB), None),
    ],
)
def test_a_region_is_in_ram_or_not_or_it_is_not_known(
    ram: list[tuple[int, int]], region: Region, inside: bool | None
) -> None:
    assert machine(*ram).contains(region) is inside


def test_ram_is_told_as_far_as_it_is_known() -> None:
    assert str(machine((0x80000000, 0))) == "0x80000000 to an unknown end"
    ram = machine((0x40000000, GIB), (0xC0000000, 0))
    assert str(ram) == "0x40000000 to 0x80000000, 0xc0000000 to an unknown end"


def test_a_pool_that_fills_its_ranges_leaves_no_room() -> None:
    """imx8qm-apalis-eval.dtb: linux,cma, of the size of its alloc-ranges; the RAM is not known."""
    shared = {"compatible": b"shared-dma-pool\0", "reusable": b""}
    cma = machine(cma=pool(0x3C000000, 0xC0000000, 0x3C000000, **shared))
    (lost,) = cma.displaced([Region(0xC8000000, 0x1000000)])
    assert str(lost) == ("/reserved-memory/cma, 0x3c000000 bytes within 0xc0000000 to 0xfc000000")
    assert cma.displaced([Region(0xBF000000, 0x1000000)]) == []
    assert cma.elsewhere(lost, []) is None
    assert cma.proposed(Region(0xC8000000, 0x1000000), []) is None


def test_it_is_told_where_pool_and_region_would_fit() -> None:
    wanted = Region(0x61000000, MIB)
    ram = machine((0x40000000, GIB), a=pool(0x20000000, 0x60000000, 0x20000000))
    (lost,) = ram.displaced([wanted])
    place = ram.elsewhere(lost, [wanted])
    assert place == Region(0x40000000, 0x20000000)
    assert ram.proposed(wanted, []) == Region(0x5FF00000, MIB)
    assert ram.displaced([Region(0x5FF00000, MIB)]) == []


@pytest.mark.parametrize(
    ("given", "wanted", "lost"),
    [
        # There is room elsewhere in the ranges.
        (pool(0x1000000, 0x40000000, GIB), Region(0x7F000000, MIB), 0),
        # Without ranges anywhere in RAM will do, but not for more than there is in one piece.
        (pool(0x1000000), Region(0x7F000000, MIB), 0),
        (pool(0x30000000), Region(0x60000000, MIB), 1),
        # The second of the ranges is tried as well.
        (pool(MIB, 0x7FF00000, MIB, 0x50000000, MIB), Region(0x7FF00000, MIB), 0),
        # It did not fit before, so it is no fault of the link's.
        (pool(2 * GIB), Region(0x60000000, MIB), 0),
        # A node with an address is no pool, and a disabled one is not placed.
        ({**pool(GIB), "reg": cells(0x40000000, GIB)}, Region(0x60000000, MIB), 0),
        (pool(GIB, status=b"disabled\0"), Region(0x60000000, MIB), 0),
        # A disabled one of the secure world is.
        (pool(GIB, **{"status": b"disabled\0", "secure-status": b"okay\0"}), Region(GIB, MIB), 1),
        # Linux aligns what it uses as well.
        (
            pool(MIB, 0x7FC00000, 0x400000, compatible=b"shared-dma-pool\0", reusable=b""),
            Region(0x7FC00000, 0x1000),
            1,
        ),
        (pool(MIB, 0x7FC00000, 0x400000), Region(0x7FC00000, 0x1000), 0),
        (pool(MIB, 0x7FE00000, 0x200000, alignment=cells(0x200000)), Region(0x7FE00000, 4096), 1),
    ],
)
def test_a_pool_that_fits_no_more_is_found(
    given: dict[str, bytes], wanted: Region, lost: int
) -> None:
    assert len(machine((0x40000000, GIB), a=given).displaced([wanted])) == lost


def test_pools_are_placed_one_beside_the_other() -> None:
    one = {"a": pool(0x20000000), "b": pool(0x20000000)}
    ram = machine((0x40000000, GIB), **one)
    assert [each.path for each in ram.displaced([Region(0x40000000, MIB)])] == [
        "/reserved-memory/b"
    ]
    fixed = machine((0x40000000, GIB), **one, c={"reg": cells(0x40000000, MIB)})
    assert fixed.displaced([Region(0x40100000, MIB)]) == []


regions = st.lists(st.builds(Region, st.integers(0, 60), st.integers(1, 20)), max_size=6)


@given(regions, regions)
def test_what_is_left_of_regions_is_each_byte_that_is_not_taken(
    some: list[Region], taken: list[Region]
) -> None:
    def bytes_of(each: list[Region]) -> set[int]:
        return {at for region in each for at in range(region.base, region.end)}

    whole = joined(some)
    assert bytes_of(whole) == bytes_of(some)
    assert all(one.end < other.base for one, other in itertools.pairwise(whole))
    left = without(whole, taken)
    assert bytes_of(left) == bytes_of(some) - bytes_of(taken)
    assert left == sorted(left, key=lambda each: each.base)
