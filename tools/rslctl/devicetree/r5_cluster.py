# SPDX-License-Identifier: BSD-3-Clause
"""The R5 cluster of a Zynq UltraScale+ MPSoC as device tree nodes, in each of its modes.

Names, addresses and numbers are those of arch/arm64/boot/dts/xilinx/zynqmp.dtsi and
include/dt-bindings/power/xlnx-zynqmp-power.h of Linux; the properties are those of its binding
remoteproc/xlnx,zynqmp-r5fss.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass

from rslctl.devicetree.nodes import Node, Value
from rslctl.profile.model import NodeRef

Properties = tuple[tuple[str, Value], ...]

#: The numbers of the cores by their names in :data:`profile.cores.CORES`.
NUMBERS = {"zynqmp-r5-0": 0, "zynqmp-r5-1": 1}
#: The node that the power domains are of.
FIRMWARE = NodeRef("zynqmp_firmware", ("/firmware/zynqmp-firmware",))

_BANK_SIZE = 0x10000


@dataclass(frozen=True)
class Bank:
    """A bank of tightly coupled memory (TCM) of 64 KiB."""

    name: str
    #: The number of the core whose node has it, its address for that core, and for Linux.
    core: int
    address: int
    linux: int
    #: The number of its power domain.
    power: int


@dataclass(frozen=True)
class Cluster:
    """The cluster in one mode."""

    #: The name of the node in zynqmp.dtsi.
    name: str
    #: The value of xlnx,cluster-mode and of xlnx,tcm-mode.
    mode: int
    banks: tuple[Bank, ...]

    @property
    def cores(self) -> list[int]:
        """The numbers of the cores."""
        return sorted({bank.core for bank in self.banks})

    @property
    def properties(self) -> Properties:
        """The properties of the cluster's node that depend on the mode."""
        return (
            ("xlnx,cluster-mode", (self.mode,)),
            ("xlnx,tcm-mode", (self.mode,)),
            ("#address-cells", (2,)),
            ("#size-cells", (2,)),
            (
                "ranges",
                tuple(
                    cell
                    for bank in self.banks
                    for cell in (bank.core, bank.address, 0, bank.linux, 0, _BANK_SIZE)
                ),
            ),
        )

    def core(self, number: int, firmware: int | NodeRef) -> Properties:
        """The properties of a core's node; *firmware* is the phandle of the power domains."""
        banks = [bank for bank in self.banks if bank.core == number]
        powers = (_CORE_POWER[number], *(bank.power for bank in banks))
        return (
            ("compatible", "xlnx,zynqmp-r5f"),
            (
                "reg",
                tuple(cell for bank in banks for cell in (number, bank.address, 0, _BANK_SIZE)),
            ),
            ("reg-names", tuple(bank.name for bank in banks)),
            ("power-domains", tuple(cell for power in powers for cell in (firmware, power))),
        )

    def node(self, name: str, status: str, more: dict[int, Properties]) -> Node:
        """The whole cluster; *more* are further properties of its cores, by number."""
        cores = tuple(
            Node(f"r5f@{number}", (*self.core(number, FIRMWARE), *more.get(number, ())))
            for number in self.cores
        )
        own: Properties = (("compatible", "xlnx,zynqmp-r5fss"), ("status", status))
        return Node(name, (*own, *self.properties), cores)


#: The power domains of the cores.
_CORE_POWER = {0: 7, 1: 8}

#: The cluster by the names of its modes.
CLUSTERS = {
    "split": Cluster(
        "remoteproc-split@ffe00000",
        0,
        (
            Bank("atcm0", 0, 0, 0xFFE00000, 15),
            Bank("btcm0", 0, 0x20000, 0xFFE20000, 16),
            Bank("atcm0", 1, 0, 0xFFE90000, 17),
            Bank("btcm0", 1, 0x20000, 0xFFEB0000, 18),
        ),
    ),
    "lockstep": Cluster(
        "remoteproc@ffe00000",
        1,
        (
            Bank("atcm0", 0, 0, 0xFFE00000, 15),
            Bank("btcm0", 0, 0x20000, 0xFFE20000, 16),
            Bank("atcm1", 0, 0x10000, 0xFFE10000, 17),
            Bank("btcm1", 0, 0x30000, 0xFFE30000, 18),
        ),
    ),
}
