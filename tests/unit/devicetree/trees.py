# SPDX-License-Identifier: BSD-3-Clause
"""Trees made from Python values, without dtc."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from rslctl.devicetree.tree import Tree

from tests.unit.devicetree.support import dtc

#: A property: cells, strings, nothing, or bytes.
Value = Sequence[int] | str | Sequence[str] | bytes | None
Nodes = Mapping[str, Mapping[str, Value]]


def tree(nodes: Nodes) -> Tree:
    return Tree("a.dtb", {path: properties(given) for path, given in nodes.items()})


def properties(given: Mapping[str, Value]) -> dict[str, bytes]:
    return {key: raw(value) for key, value in given.items()}


def raw(value: Value) -> bytes:
    if value is None or isinstance(value, bytes):
        return value or b""
    if isinstance(value, str):
        return f"{value}\0".encode()
    return b"".join(
        f"{each}\0".encode() if isinstance(each, str) else struct.pack(">I", each) for each in value
    )


def blob(made: Tree) -> bytes:
    """The blob of a tree; nodes above its nodes are made."""

    def text(path: str) -> str:
        own = made.nodes.get(path, {}).items()
        lines = [f"{key} = [{value.hex(' ')}];" if value else f"{key};" for key, value in own]
        top = path.rstrip("/")
        below = {
            each[len(top) + 1 :].partition("/")[0]
            for each in made.nodes
            if each != "/" and each.startswith(f"{top}/")
        }
        return " ".join(
            [*lines, *(f"{each} {{ {text(f'{top}/{each}')} }};" for each in sorted(below))]
        )

    return dtc(f"/dts-v1/; / {{ {text('/')} }};", "-q")


def board(soc: str, nodes: Nodes, *, ram: Value = (0x40000000, 0x40000000)) -> Tree:
    """A board with one cell for addresses and one for sizes, and a GIC."""
    top: dict[str, Mapping[str, Value]] = {
        "/": {
            "compatible": ["vendor,board", soc],
            "model": "A board",
            "#address-cells": (1,),
            "#size-cells": (1,),
            "interrupt-parent": (1,),
        },
        "/gic": {"compatible": "arm,gic-400", "#interrupt-cells": (3,), "phandle": (1,)},
    }
    if ram is not None:
        top["/memory@40000000"] = {"device_type": "memory", "reg": ram}
    return tree({**top, **nodes})


def mu(address: int, phandle: int, **more: Value) -> Nodes:
    """A messaging unit of an i.MX."""
    given: dict[str, Value] = {
        "compatible": ["fsl,imx8mm-mu", "fsl,imx6sx-mu"],
        "reg": (address, 0x10000),
        "interrupts": (0, 88, 4),
        "#mbox-cells": (2,),
        "phandle": (phandle,),
    }
    return {f"/mailbox@{address:x}": {**given, **more}}


def cluster(address: int, phandle: int, **more: Value) -> Nodes:
    """A mailbox cluster of TI."""
    given: dict[str, Value] = {
        "compatible": "ti,am64-mailbox",
        "reg": (address, 0x200),
        "interrupts": (0, 76, 4),
        "#mbox-cells": (1,),
        "ti,mbox-num-users": (4,),
        "ti,mbox-num-fifos": (16,),
        "phandle": (phandle,),
    }
    return {f"/mailbox@{address:x}": {**given, **more}}
