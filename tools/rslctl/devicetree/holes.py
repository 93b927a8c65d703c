# SPDX-License-Identifier: BSD-3-Clause
"""Holes in a board's RAM: where nothing lies that its tree, or its running kernel, tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rslctl.devicetree import remotes
from rslctl.devicetree.memory import Memory, joined, without
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.profile.cores import Range
from rslctl.region import Region

#: The bytes of RAM that are assumed if the tree does not tell its end.
_ASSUMED_RAM = 0x10000000


@dataclass(frozen=True)
class Running:
    """What the running kernel says beside its tree."""

    #: The RAM that it has; empty if it does not say.
    ram: tuple[Region, ...] = ()
    #: What it uses or has reserved.
    used: tuple[Region, ...] = ()
    #: The names of its remote processors, by the path of their node.
    remotes: Mapping[str, str] = field(default_factory=dict)


class Holes:
    """The holes of one board."""

    def __init__(self, tree: Tree, running: Running, size: int) -> None:
        """*size* is that of the largest hole that will be wanted, in bytes."""
        self._tree = tree
        self._running = running
        self._memory = Memory(tree)
        self._size = size
        #: What the nodes of the tree have in use, RAM itself left out.
        self._used = [
            region
            for path in tree.nodes
            if tree.texts(path, "device_type") != ["memory"] and not tree.idle(path)
            for region in tree.regions(path)
        ]
        self._used += [tree.initrd] if tree.initrd else []

    def find(
        self, size: int, ranges: tuple[Range, ...], others: list[Region]
    ) -> tuple[Region, list[str]]:
        """Return a hole of *size* bytes in *ranges* without *others*, and what is to be said of it.

        Raises:
            RslError: there is none.
        """
        ram, about = self._ram()
        whole = sum(each.size for each in ram)
        if 2 * (size + sum(each.size for each in others)) > whole:
            raise RslError(f"Linux would have less than half of its RAM, {whole:#x} bytes")
        reached = [part for each in joined(_seen(ranges)) for part in _both(ram, each)]
        for part in sorted(reached, key=lambda each: -each.size):
            if found := self._in(part, size, others):
                kernel = " and the running kernel does not use it" if self._running.ram else ""
                return found, [
                    *about,
                    f"Found: no node of the tree reserves it, no pool needs it{kernel}.",
                    "Look up: whether the boot loader or secure firmware uses it.",
                ]
        spans = ", ".join(f"{each.base:#x} to {each.end:#x}" for each in reached)
        where = f"in the RAM that the core reaches, {spans}" if spans else "that the core reaches"
        raise RslError(f"there is no hole of {size:#x} bytes {where}")

    def _in(self, part: Region, size: int, others: list[Region]) -> Region | None:
        """A hole in a part of RAM that leaves room for the pools."""
        # Boot loaders use the start of RAM, and secure firmware often the end.
        wanted = Region(part.base + part.size // 4 * 3, size)
        taken = [*self._used, *self._running.used, *others]
        for _ in range(len(self._memory.pools) + 1):
            found = self._memory.proposed(wanted, taken, [part])
            lost = self._memory.displaced([*others, found]) if found else []
            if not lost:
                return found
            taken += [within for pool in lost for within in pool.ranges]
        return None

    def _ram(self) -> tuple[list[Region], list[str]]:
        """The RAM to look in, and what was found or assumed of it."""
        memory, kernels = self._memory, list(self._running.ram)
        if memory.ram:
            both = [part for each in kernels for part in _both(memory.ram, each)]
            return (both if kernels else memory.ram), []
        if kernels:
            return kernels, ["Found: RAM is what the running kernel has; the tree does not say it."]
        kind = remotes.soc(self._tree)
        start = memory.starts[0] if memory.starts else kind.ram if kind else None
        if start is None:
            raise RslError("the tree does not say where RAM is")
        end = start + max(_ASSUMED_RAM, 16 * self._size)
        what = "where it ends" if memory.starts else "it"
        return [Region(start, end - start)], [
            f"Assumed: RAM from {start:#x} to {end:#x} at least; the tree does not say {what}, "
            "because the boot loader fills it in."
        ]


def _seen(ranges: tuple[Range, ...]) -> list[Region]:
    return [each.seen_by_linux for each in ranges]


def _both(ram: list[Region], within: Region) -> list[Region]:
    """The parts of *ram* that are in a region."""
    outside = (Region(0, within.base), Region(within.end, (1 << 65) - within.end))
    return without(ram, [each for each in outside if each.size])
