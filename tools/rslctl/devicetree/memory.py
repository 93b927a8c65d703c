# SPDX-License-Identifier: BSD-3-Clause
"""The RAM of a base tree, and the pools that the kernel places in it when it boots.

A pool is a node of /reserved-memory that has a size and no address. The kernel looks for room for
it after all regions that have an address (drivers/of/of_reserved_mem.c of Linux,
__reserved_mem_alloc_size()). If there is none, the pool does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rslctl.devicetree.tree import Tree, parent
from rslctl.region import Region

_RESERVED = "/reserved-memory"

#: The alignment in bytes of a pool that Linux uses as well (CMA_MIN_ALIGNMENT_BYTES of Linux with
#: pages of 4 KiB: 4 MiB on arm, 2 MiB on arm64).
_CMA_ALIGNMENT = 0x400000

#: The alignment in bytes of the places that are proposed for a link's memory.
_PROPOSED_ALIGNMENT = 0x100000

#: The end of RAM that has none: the last address of 64 bits.
_END = 1 << 64


@dataclass(frozen=True)
class Pool:
    """A pool: its node, and what the node asks for, in bytes."""

    path: str
    size: int
    alignment: int
    #: Where the kernel looks, in this order; empty means everywhere.
    ranges: tuple[Region, ...]

    def place(self, rooms: list[Region]) -> Region | None:
        """Return the pool's region in one of *rooms*: the upmost, as the kernel takes it."""
        for within in self.ranges or (Region(0, _END),):
            for room in reversed(rooms):
                end = min(room.end, within.end)
                base = (end - self.size) // self.alignment * self.alignment
                if base >= max(room.base, within.base):
                    return Region(base, self.size)
        return None

    def __str__(self) -> str:
        within = " or ".join(f"{each.base:#x} to {each.end:#x}" for each in self.ranges)
        return f"{self.path}, {self.size:#x} bytes{' within ' * bool(within)}{within}"


class Memory:
    """The RAM of a tree and what is reserved in it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        nodes = [
            path
            for path in tree.nodes
            if tree.texts(path, "device_type") == ["memory"] and tree.enabled(path)
        ]
        #: The regions of RAM that the tree knows from start to end, joined, in their order.
        self.ram = joined(region for path in nodes for region in tree.regions(path))
        #: The starts of RAM whose size the boot loader fills in.
        self.starts = sorted({start for path in nodes for start in tree.starts(path)})

    def contains(self, region: Region) -> bool | None:
        """Return whether a region is in RAM; None if it may be, because the tree has no end.

        A tree without memory nodes knows neither start nor end.
        """
        if any(part.contains(region) for part in self.ram):
            return True
        if any(region.base >= start for start in self.starts):
            return None
        return False if self.ram or self.starts else None

    def __str__(self) -> str:
        parts = [f"{part.base:#x} to {part.end:#x}" for part in self.ram]
        return ", ".join([*parts, *(f"{start:#x} to an unknown end" for start in self.starts)])

    @cached_property
    def pools(self) -> list[Pool]:
        """The pools that are in use, in the order in which the kernel places them."""
        return [
            pool
            for path in self._tree.nodes
            if parent(path) == _RESERVED and not self._tree.idle(path)
            if (pool := self._pool(path))
        ]

    def _pool(self, path: str) -> Pool | None:
        tree = self._tree
        size = tree.number(path, "size")
        if "reg" in tree.nodes[path] or not size:
            return None
        properties = tree.nodes[path]
        alignment = max(tree.number(path, "alignment"), 1)
        shared = "shared-dma-pool" in tree.texts(path, "compatible")
        if shared and "reusable" in properties and "no-map" not in properties:
            alignment = max(alignment, _CMA_ALIGNMENT)
        return Pool(path, size, alignment, tuple(tree.regions(path, "alloc-ranges")))

    @cached_property
    def fixed(self) -> list[Region]:
        """The regions that are reserved at an address."""
        tree = self._tree
        nodes = [path for path in tree.nodes if parent(path) == _RESERVED and not tree.idle(path)]
        return [*(each for path in nodes for each in tree.regions(path)), *tree.reserved]

    def _rooms(self, taken: Iterable[Region], *, ranges: bool) -> list[Region]:
        """The parts of RAM that are free of *taken*.

        With *ranges*, RAM includes where the pools may be, for trees that do not know all RAM.
        """
        known = [*self.ram, *(Region(start, _END - start) for start in self.starts)]
        if ranges:
            known += [each for pool in self.pools for each in pool.ranges]
        return without(joined(known), taken)

    def _places(self, taken: list[Region], *, ranges: bool) -> dict[Pool, Region]:
        """Where the pools are if *taken* is reserved; a pool that fits nowhere is left out."""
        found: dict[Pool, Region] = {}
        for pool in self.pools:
            place = pool.place(self._rooms([*taken, *found.values()], ranges=ranges))
            if place:
                found[pool] = place
        return found

    def displaced(self, added: list[Region]) -> list[Pool]:
        """Return the pools that fit into RAM, and do not if *added* is reserved as well."""
        found: list[Pool] = []
        for ranges in (False, True):
            before = self._places(self.fixed, ranges=ranges)
            after = self._places([*self.fixed, *added], ranges=ranges)
            found += [pool for pool in before if pool not in after and pool not in found]
            if len(before) == len(self.pools):
                break
        return found

    def elsewhere(self, pool: Pool, added: list[Region]) -> Region | None:
        """Return a place in RAM for a displaced pool, whatever its ranges; None if none is known.

        *added* is reserved as well.
        """
        taken = [*self.fixed, *added, *self._places(self.fixed, ranges=True).values()]
        free = Pool(pool.path, pool.size, pool.alignment, ())
        return free.place(without(self.ram, taken))

    def proposed(
        self, wanted: Region, others: list[Region], ram: list[Region] | None = None
    ) -> Region | None:
        """Return the free place for a link's region that is nearest to *wanted*.

        Nothing fixed, no pool and none of *others* is there. None if RAM has no such place, or
        the tree does not know where RAM ends. *ram* is what to take as RAM, in its order.
        """
        pools = self._places(self.fixed, ranges=not self.ram).values()
        step = max(_PROPOSED_ALIGNMENT, wanted.size & -wanted.size)
        step = min(step, 1 << 24)
        found = []
        for room in without(self.ram if ram is None else ram, [*self.fixed, *others, *pools]):
            low = -(-room.base // step) * step
            high = (room.end - wanted.size) // step * step
            if low <= high:
                found.append(Region(min(max(wanted.base // step * step, low), high), wanted.size))
        return min(found, key=lambda each: abs(each.base - wanted.base), default=None)


def joined(regions: Iterable[Region]) -> list[Region]:
    """Join the regions that touch or overlap."""
    result: list[Region] = []
    for region in sorted(regions, key=lambda each: each.base):
        if result and region.base <= result[-1].end:
            end = max(result[-1].end, region.end)
            result[-1] = Region(result[-1].base, end - result[-1].base)
        else:
            result.append(region)
    return result


def without(regions: list[Region], taken: Iterable[Region]) -> list[Region]:
    """Return what is left of *regions*, which are in their order, without *taken*."""
    result = regions
    for hole in taken:
        left = []
        for region in result:
            parts = (
                (region.base, min(region.end, hole.base)),
                (max(region.base, hole.end), region.end),
            )
            left += [Region(base, end - base) for base, end in parts if base < end]
        result = left
    return result
