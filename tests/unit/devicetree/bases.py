# SPDX-License-Identifier: BSD-3-Clause
"""Bases of all kinds, boards that are to fit them, and what comes of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from rslctl.devicetree import overlay, tree
from rslctl.devicetree.nodes import to_blob, to_source
from rslctl.devicetree.tree import Tree
from rslctl.errors import SeveralError
from rslctl.profile import model
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.unit.devicetree.support import normal

GIC = "/gic@f9010000"
MU = "/soc/mailbox@1000"
RAM = Region(0x40000000, 0x40000000)
CLUSTER = "/soc/mailbox@2000"


@dataclass(frozen=True)
class Base:
    """A base with an interrupt controller, two mailbox controllers and RAM."""

    cells: tuple[int, int] = (2, 2)
    symbols: bool = False
    #: Whether the mailbox controllers have phandles, by a user of channel 3.
    used: bool = False
    disabled: bool = False
    ram: Region = RAM
    #: Something else that is reserved.
    taken: Region | None = None
    spi: int | None = None
    extra: str = ""

    def reg(self, region: Region) -> str:
        address, size = self.cells
        cells = (*wide(region.base, address), *wide(region.size, size))
        return " ".join(f"{cell:#x}" for cell in cells)

    def text(self) -> str:
        address, size = self.cells
        status = 'status = "disabled";' if self.disabled else ""
        taken = f"taken {{ reg = <{self.reg(self.taken)}>; }};" if self.taken else ""
        user = "user { mboxes = <&mu 3 3>; };" if self.used else ""
        other = f"other {{ interrupts = <0 {self.spi} 4>; }};" if self.spi is not None else ""
        return f"""/dts-v1/;
/ {{
    #address-cells = <{address}>; #size-cells = <{size}>;
    compatible = "vendor,board"; interrupt-parent = <&gic>;
    gic: gic@f9010000 {{ compatible = "arm,gic-400"; interrupt-controller;
        #interrupt-cells = <3>; reg =
        <{self.reg(Region(0xF9010000, 0x1000))}>; }};
    memory {{ device_type = "memory"; reg = <{self.reg(self.ram)}>; }};
    reserved-memory {{ #address-cells = <{address}>; #size-cells = <{size}>; ranges; {taken} }};
    soc {{ #address-cells = <1>; #size-cells = <1>; ranges;
        mu: mailbox@1000 {{ compatible = "fsl,imx6sx-mu"; reg = <0x1000 0x100>;
            #mbox-cells = <2>; {status} }};
        cluster: mailbox@2000 {{ compatible = "ti,am654-mailbox"; reg = <0x2000 0x100>;
            #mbox-cells = <1>; {status}
            interrupts = <0 76 4>, <0 77 4>; ti,mbox-num-fifos = <16>;
            mbox-other {{ ti,mbox-tx = <0 0 2>; ti,mbox-rx = <1 0 2>; }};
        }};
    }};
    {user} {other} {self.extra}
}};
"""

    def blob(self) -> bytes:
        command = ["dtc", "-q", "-I", "dts", "-O", "dtb", *(["-@"] if self.symbols else [])]
        return subprocess.run(
            command, input=self.text().encode(), stdout=subprocess.PIPE, check=True
        ).stdout


def wide(value: int, cells: int) -> tuple[int, ...]:
    return (value >> 32, value & 0xFFFFFFFF)[2 - cells :]


MEMORY = Region(0x50000000, 0x100000)
CHANNELS = model.Channels(NodeRef("mu", (MU,)), ((2, 0), (2, 1)), ((3, 0), (3, 1)))
FIFOS = model.Fifos(NodeRef("cluster", ("/soc/nowhere", CLUSTER)), 4, 5, 2, 8)
DOORBELL = model.Doorbell(0x10000, (1, 2), (40, 41), "edge-rising")
IPI = model.Ipi(7, 1)


def profile(*transports: model.Transport, cells: tuple[int, int] = (2, 2)) -> model.Board:
    links = []
    for number, transport in enumerate(transports):
        kind = "doorbell" if isinstance(transport, model.Doorbell) else "mailbox"
        memory = Region(MEMORY.base + number * MEMORY.size, MEMORY.size)
        links.append(model.Link(f"r{number}", memory, None, {kind: transport}, kind))
    return model.Board(
        name="test",
        description="a board",
        compatible=("vendor,board",),
        links=tuple(links),
        cells=cells,
        interrupt_parent=NodeRef("gic", (GIC,)),
    )


def merged(made: model.Board, base: Base, style: str = "rsl") -> Tree:
    blob = base.blob()
    fitted = overlay.for_base(made, style, tree.from_blob(blob, "base"))
    source = subprocess.run(
        ["dtc", "-@", "-q", "-I", "dts", "-O", "dtb"],
        input=to_source(fitted).encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert normal(source) == normal(to_blob(fitted))
    return tree.from_blob(overlay.merge(fitted, blob), "merged")


def problems(made: model.Board, base: Base) -> list[str]:
    try:
        merged(made, base)
    except SeveralError as error:
        return [message.removeprefix("base: ") for message in error.messages]
    return []
