# SPDX-License-Identifier: BSD-3-Clause
"""The remotes' own nodes in the overlay: what the kernel's remoteproc drivers need for a link.

A driver loads a program only into the regions that the node lists in memory-region, and into the
core's own memories: rproc_da_to_va() of drivers/remoteproc/remoteproc_core.c of Linux. Each driver
has rules of its own for this list; they are the table :data:`BINDINGS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rslctl.devicetree import r5_cluster
from rslctl.devicetree.nodes import Cells, Fragment, Node, Ref, Value
from rslctl.devicetree.r5_cluster import Cluster
from rslctl.devicetree.tree import Tree, parent
from rslctl.profile.cores import CORES, seen
from rslctl.profile.model import Board, Link, NodeRef, Remoteproc
from rslctl.region import Region

Properties = tuple[tuple[str, Value], ...]
#: The reserved regions of each link by the link's name: each with its label in the overlay.
Reserved = Mapping[str, list[tuple[str, Region]]]


@dataclass(frozen=True)
class Binding:
    """What a remoteproc driver asks of its node."""

    #: The most regions that memory-region may list; 0 if there is no limit.
    most: int = 0
    #: Whether the first region is a DMA pool, which the driver needs.
    pool: bool = False
    #: Whether the driver refuses regions that are not in the dma-ranges of the node's parent.
    translated: bool = False
    #: The property of the cluster, which is the node's parent, that has its mode, and its values.
    mode: str = ""
    modes: tuple[tuple[str, int], ...] = ()
    #: Whether the clusters of a tree are one piece of hardware in different modes.
    one_cluster: bool = False


_AMD = Binding(
    most=8,
    mode="xlnx,cluster-mode",
    modes=(("split", 0), ("lockstep", 1)),
    one_cluster=True,
)
_IMX = Binding(most=32)
_K3 = Binding(most=8, pool=True)


def _k3_r5(*modes: tuple[str, int]) -> Binding:
    return Binding(most=8, pool=True, mode="ti,cluster-mode", modes=modes)


_K3_LOCKSTEP = _k3_r5(("split", 0), ("lockstep", 1))

#: The bindings by compatible: Documentation/devicetree/bindings/remoteproc/ of Linux, and the
#: function that reads memory-region in the driver. "xilinx,r5f" is the core's in AMD's own kernels
#: of 2021 to 2023.
BINDINGS = {
    "xlnx,zynqmp-r5f": _AMD,
    "xlnx,versal-r5f": _AMD,
    "xilinx,r5f": _AMD,
    "st,stm32mp1-m4": Binding(translated=True),
    **{
        f"fsl,imx{name}": _IMX
        for name in (
            *("6sx-cm4", "7d-cm4", "7ulp-cm4", "8mm-cm4", "8mq-cm4", "8qm-cm4", "8qxp-cm4"),
            *("8mn-cm7", "8mn-cm7-mmio", "8mp-cm7", "8mp-cm7-mmio", "8ulp-cm33"),
            *("93-cm33", "95-cm7"),
        )
    },
    "ti,am654-r5f": _K3_LOCKSTEP,
    "ti,j721e-r5f": _K3_LOCKSTEP,
    "ti,j7200-r5f": _K3_LOCKSTEP,
    "ti,j721s2-r5f": _K3_LOCKSTEP,
    "ti,am64-r5f": _k3_r5(("split", 0), ("single-cpu", 2)),
    "ti,am62-r5f": _k3_r5(("single-core", 3)),
    "ti,am64-m4fss": _K3,
    "ti,j721e-c66-dsp": _K3,
    "ti,j721e-c71-dsp": _K3,
    "ti,j721s2-c71-dsp": _K3,
    "ti,am62a-c7xv-dsp": _K3,
}


def changes(
    board: Board, reserved: Reserved, base: Tree | None
) -> tuple[list[Node], list[Fragment]]:
    """Return what the overlay adds for the remotes: nodes of the root, and fragments.

    Without *base*, the node's binding is that of the profile's core. A base whose node is as the
    links need it gets nothing.
    """
    nodes: list[Node] = []
    fragments: list[Fragment] = []
    for core in _cores(board, base):
        if core.path:
            fragments += core.fragments(reserved)
        elif base is None and core.cluster is None:
            fragments += core.by_label(reserved)
    for cluster in _missing_clusters(board, base):
        nodes += cluster.nodes(reserved, others=base is None)
    return nodes, list(_joined(fragments))


def problems(board: Board, base: Tree) -> Iterator[str]:
    """What *base* has against the links' remotes, a line each."""
    modes: dict[str, tuple[str, str]] = {}
    for core in _cores(board, base):
        yield from core.problems()
        for link in core.links if core.path else ():
            wanted = link.remoteproc.mode if link.remoteproc else ""
            mode, name = modes.setdefault(parent(core.path), (wanted, link.name))
            if mode != wanted:
                yield (
                    f"remoteproc: {link.name}: mode {wanted!r}, but link {name} has the same "
                    f"cluster in mode {mode!r}"
                )


def absent(board: Board, base: Tree) -> Iterator[str]:
    """The links whose remote has no node in *base*: its kernel does not boot such a remote."""
    for core in _cores(board, base):
        if not core.path and core.cluster is None and not list(core.problems()):
            names = ", ".join(link.name for link in core.links)
            yield f"{names}: {base.source} has no node {core.wanted.node}"


class _Core:
    """The node of one core, and the links whose program runs on that core."""

    def __init__(self, links: list[Link], wanted: Remoteproc, base: Tree | None) -> None:
        self.links = links
        self.wanted = wanted
        self._base = base
        #: The path of the node in the base; "" if the base does not have it, or there is no base.
        self.path = (base.find(wanted.node) or "") if base else ""
        known = CORES[links[0].core].compatibles if links[0].core else ()
        if base and self.path:
            known = tuple(base.texts(self.path, "compatible"))
        self._compatibles = known
        #: None if the table does not have the binding: the node is left as it is then.
        self._binding = next((BINDINGS[each] for each in known if each in BINDINGS), None)

    @property
    def cluster(self) -> Cluster | None:
        """The cluster of a ZynqMP that the overlay adds if the base has none; None otherwise."""
        found = r5_cluster.CLUSTERS.get(self.wanted.mode)
        number = r5_cluster.NUMBERS.get(self.links[0].core)
        if self.path or found is None or number not in found.cores or not self.wanted.node.paths:
            return None
        if self._base and (self._own_kind() or self._base.find(r5_cluster.FIRMWARE) is None):
            return None
        return found

    def _own_kind(self) -> list[str]:
        """The nodes of the base that have a compatible of this core."""
        base = self._base
        if base is None:
            return []
        return [
            path
            for path in base.nodes
            if set(base.texts(path, "compatible")) & set(self._compatibles)
        ]

    @property
    def _had(self) -> list[Region]:
        """The regions that the base's node lists, as far as the base has them."""
        base = self._base
        listed = base.cells(self.path, "memory-region") if base and self.path else ()
        paths = [base.phandles.get(each, "") for each in listed] if base else []
        return [region for path in paths if base for region in base.regions(path)[:1]]

    @property
    def _taken(self) -> list[Region] | None:
        """What the driver takes as regions: None if it takes all that the remote reaches."""
        if not (self._binding and self._binding.translated):
            return None
        if self._base is None:
            return list(CORES[self.links[0].core].loads or ())
        return _dma_ranges(self._base, parent(self.path))

    def _regions(self, reserved: Reserved) -> list[Ref]:
        """The links' regions that the driver takes and the base does not list, in their order."""
        had, taken = self._had, self._taken
        return [
            Ref(label)
            for link in self.links
            for label, region in _ordered(link, reserved)
            if region not in had and (taken is None or _within(taken, region))
        ]

    def listed(self, reserved: Reserved, before: Cells) -> Properties:
        """The property memory-region, with *before* first; none if nothing is to be added."""
        own = self._regions(reserved)
        return (("memory-region", (*before, *own)),) if own else ()

    def _names(self, base: Tree, reserved: Reserved) -> Properties:
        """The names of the regions, if the base's node has names."""
        key = "memory-region-names"
        if key not in base.nodes[self.path]:
            return ()
        own = (each.label for each in self._regions(reserved))
        return ((key, (*base.texts(self.path, key), *own)),)

    def by_label(self, reserved: Reserved) -> list[Fragment]:
        """The change of the node if there is no base to fit to."""
        binding, listed = self._binding, self.wanted.memory_region
        if binding is None or (binding.pool and not (listed or self.wanted.dma_pool)):
            return []
        own = self.listed(reserved, listed)
        body = Node("", (*own, ("status", "okay")))
        return [Fragment(self.wanted.node, body)] if own else []

    def fragments(self, reserved: Reserved) -> Iterator[Fragment]:
        """The changes of the node, of its cluster and of the cluster's other forms."""
        base, binding = self._base, self._binding
        if base is None or binding is None:
            return
        cluster = parent(self.path) if binding.mode else ""
        if cluster:
            yield from self._mode(base, binding, cluster)
        for path in filter(None, (cluster, self.path)):
            if base.texts(path, "status")[:1] not in ([], ["okay"], ["ok"]):
                yield _change(path, ("status", "okay"))
        listed = self.listed(reserved, base.cells(self.path, "memory-region"))
        if listed:
            yield _change(self.path, *listed, *self._names(base, reserved))
        if binding.one_cluster:
            same = base.texts(cluster, "compatible")
            for path in base.nodes:
                others = base.texts(path, "compatible")
                if path != cluster and others and others == same and not base.idle(path):
                    yield _change(path, ("status", "disabled"))

    def _mode(self, base: Tree, binding: Binding, cluster: str) -> Iterator[Fragment]:
        """The change of the cluster's mode, and of the TCMs, which differ by the mode."""
        mode = dict(binding.modes).get(self.wanted.mode)
        if mode is None or base.cells(cluster, binding.mode) == (mode,):
            return
        shape = r5_cluster.CLUSTERS.get(self.wanted.mode)
        if not binding.one_cluster or shape is None or "reg" not in base.nodes[self.path]:
            yield _change(cluster, (binding.mode, (mode,)))
            return
        yield _change(cluster, *shape.properties)
        cores = sorted(path for path in base.nodes if parent(path) == cluster)
        for number, path in enumerate(cores):
            firmware = base.cells(path, "power-domains")[:1]
            if number in shape.cores and firmware:
                yield _change(path, *shape.core(number, firmware[0]))

    def problems(self) -> Iterator[str]:
        """What the base has against this remote, a line each."""
        base, wanted = self._base, self.wanted
        if base and self.path and self._binding:
            prefix = f"remoteproc: {self.links[0].name}: {self.path}"
            for text in (
                *self._core_problems(),
                *self._mode_problems(base, self._binding),
                *self._list_problems(base),
            ):
                yield f"{prefix} {text}"
        elif base and not self.path:
            near = self._own_kind()
            if near or not self._compatibles:
                hint = f"; near it: {', '.join(near)}" if near else ""
                yield f"label: there is no node {wanted.node}{hint}"

    def _core_problems(self) -> Iterator[str]:
        """What the node tells of the core that the profile does not say, or says otherwise."""
        fitting = {
            name: core
            for name, core in CORES.items()
            if set(core.compatibles) & set(self._compatibles)
        }
        for link in self.links:
            said = CORES[link.core].compatibles if link.core else ()
            if said and not set(said) & set(self._compatibles):
                yield f"is {' or '.join(fitting)}, the profile says core {link.core!r}"
            unsaid = not (said or (link.remote and link.remote.ranges))
            for what, region in link.regions() if unsaid else ():
                if fitting and not any(seen(each.ranges, region) for each in fitting.values()):
                    yield (
                        f"is {' or '.join(fitting)}, which does not reach {what} at "
                        f"{region.base:#x}, {region.size:#x} bytes"
                    )

    def _mode_problems(self, base: Tree, binding: Binding) -> Iterator[str]:
        mode = self.wanted.mode
        if mode and mode not in dict(binding.modes):
            modes = ", ".join(repr(each) for each, _ in binding.modes) or "none"
            yield f"has no mode {mode!r}; it has {modes}"
        elif mode == "lockstep" and self._number(base):
            yield "is the second core, which does not run on its own in lockstep"

    def _list_problems(self, base: Tree) -> Iterator[str]:
        """What is wrong with the list of regions as it would be."""
        binding, had, pool = self._binding or Binding(), self._had, self.wanted.dma_pool
        listed = base.cells(self.path, "memory-region")
        if binding.pool and not listed and not pool:
            yield "needs a DMA pool as its first region: give one in remoteproc.dma-pool"
        if pool and listed and pool not in had:
            yield "has regions, the first its DMA pool: leave remoteproc.dma-pool out"
        own = [each for link in self.links for each in link.regions() if each[1] not in had]
        for what, region in own:
            if what != "memory" and self._taken is not None and not _within(self._taken, region):
                yield (
                    f"can load no program to {what} at {region.base:#x}, {region.size:#x} bytes, "
                    f"which is not in the dma-ranges of {parent(self.path)}"
                )
        if binding.most and len(listed) + len(own) > binding.most:
            yield (
                f"would have {len(listed) + len(own)} regions, its binding allows {binding.most}"
            )

    def _number(self, base: Tree) -> int:
        """The core's place among those of its cluster."""
        cluster = parent(self.path)
        return sorted(path for path in base.nodes if parent(path) == cluster).index(self.path)


def _cores(board: Board, base: Tree | None) -> list[_Core]:
    """The cores that the kernel boots; links of the same node share one."""
    links: dict[NodeRef, list[Link]] = {}
    for link in board.links:
        if link.remoteproc:
            links.setdefault(link.remoteproc.node, []).append(link)
    return [
        _Core(several, several[0].remoteproc, base)
        for several in links.values()
        if several[0].remoteproc
    ]


def _ordered(link: Link, reserved: Reserved) -> list[tuple[str, Region]]:
    """The regions of a link in the order of the bindings: the DMA pool, then the program's."""
    made = link.remoteproc
    first = [made.dma_pool if made else None, link.firmware]
    return sorted(
        reserved[link.name],
        key=lambda each: first.index(each[1]) if each[1] in first else len(first),
    )


def _within(regions: list[Region], region: Region) -> bool:
    return any(each.contains(region) for each in regions)


def _dma_ranges(base: Tree, bus: str) -> list[Region]:
    """What the dma-ranges of *bus* have, as addresses of the processor.

    drivers/remoteproc/stm32_rproc.c of Linux reads rows of three cells: the remote's address, the
    processor's, and the size.
    """
    values = base.cells(bus, "dma-ranges")
    return [Region(values[at + 1], values[at + 2]) for at in range(0, len(values) - 2, 3)]


def _change(path: str, *properties: tuple[str, Value]) -> Fragment:
    return Fragment(NodeRef(paths=(path,)), Node("", properties))


def _joined(fragments: list[Fragment]) -> Iterator[Fragment]:
    """One fragment for each target, with the properties of all; of equal keys the last counts."""
    by_target: dict[NodeRef, dict[str, Value]] = {}
    for each in fragments:
        by_target.setdefault(each.target, {}).update(each.body.properties)
    for target, properties in by_target.items():
        yield Fragment(target, Node("", tuple(properties.items())))


@dataclass(frozen=True)
class _Missing:
    """A cluster of a ZynqMP that the overlay adds, with its cores by number."""

    name: str
    shape: Cluster
    cores: dict[int, _Core]

    def nodes(self, reserved: Reserved, *, others: bool) -> Iterator[Node]:
        """The node of the cluster; in a base that has it, it is the same but for the regions.

        With *others* also the nodes of its other modes, disabled: the base may use one of them.
        """
        listed = {
            number: core.listed(reserved, core.wanted.memory_region)
            for number, core in self.cores.items()
        }
        yield self.shape.node(self.name, "okay", listed)
        for each in r5_cluster.CLUSTERS.values() if others else ():
            if each.name != self.name:
                yield each.node(each.name, "disabled", {})


def _missing_clusters(board: Board, base: Tree | None) -> Iterator[_Missing]:
    found: dict[str, _Missing] = {}
    for core in _cores(board, base):
        if core.cluster is None:
            continue
        name = parent(core.wanted.node.paths[0]).strip("/")
        missing = found.setdefault(name, _Missing(name, core.cluster, {}))
        missing.cores[r5_cluster.NUMBERS[core.links[0].core]] = core
    yield from found.values()
