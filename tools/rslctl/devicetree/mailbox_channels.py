# SPDX-License-Identifier: BSD-3-Clause
"""The channels that each mailbox controller has, and who uses them in a tree.

The numbers are from the drivers in drivers/mailbox/ of Linux, unless a comment says otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rslctl.devicetree.mailbox_styles import driver, shown
from rslctl.devicetree.tree import Tree

#: The specifier of a channel: the cells behind the phandle.
Specifier = tuple[int, ...]

#: Some channels of a controller: for each cell of the specifier, the values that it can have.
Box = tuple[Sequence[int], ...]

#: In the second cell of a shared mailbox of Tegra: Linux is the sender.
_TEGRA_SENDER = 0x80000000


@dataclass(frozen=True)
class _Known:
    """What is known of the channels of a controller."""

    #: The channels, from the tree and the path of the node that its driver binds to.
    boxes: Callable[[Tree, str], list[Box]]
    #: How many channels can be in use at a time; 0 if all can.
    most: int = 0
    #: What tells the channels apart: some specifiers mean the same channel.
    identity: Callable[[Specifier], Specifier] = tuple


def _cells(*cells: Sequence[int]) -> _Known:
    return _Known(lambda _tree, _path: [cells])


def _stm32_ipcc(tree: Tree, _path: str) -> list[Box]:
    """The IPCC of an STM32MP15 has 6 channels (RM0436); no IPCC has registers for more than 16."""
    old = any(name.startswith("st,stm32mp15") for name in tree.texts("/", "compatible"))
    return [(range(6 if old else 16),)]


def _arm_mhuv2(tree: Tree, path: str) -> list[Box]:
    """Per window of doorbells 32 channels, and one for all windows of an entry for data."""
    boxes: list[Box] = []
    first = 0
    cells = tree.cells(path, "arm,mhuv2-protocols")
    for protocol, windows in zip(cells[::2], cells[1::2], strict=False):
        end = first + (1 if protocol else windows)
        boxes.append((range(first, end), range(1 if protocol else 32)))
        first = end
    return boxes


def _tegra_hsp(_tree: Tree, _path: str) -> list[Box]:
    """Doorbells of the CCPLEX and the BPMP, and the shared mailboxes, of which there are 8.

    The register has room for 15 (HSP_INT_DIMENSIONING); the manuals of Tegra186, 194 and 234 say 8.
    """
    mailboxes = [*range(8), *range(_TEGRA_SENDER, _TEGRA_SENDER + 8)]
    return [((0,), (17, 19)), ((1, 0x101), mailboxes)]


def _tegra_channel(specifier: Specifier) -> Specifier:
    return (specifier[0] & 0xFF, specifier[-1] & 0xFFFFFF)


def _omap_mailbox(tree: Tree, path: str) -> list[Box]:
    """The sub-nodes, by their phandles."""
    children = [each for each in tree.children(path) if tree.phandle(each)]
    return [(tuple(tree.phandle(each) for each in children),)]


_OMAP = _Known(_omap_mailbox)
_MU = _cells(range(6), range(4))
_MHU = _cells(range(3))
_TEGRA = _Known(_tegra_hsp, identity=_tegra_channel)

_KNOWN: dict[str, _Known] = {
    # 0 sends, 1 receives.
    "xlnx,zynqmp-ipi-mailbox": _cells(range(2)),
    "xlnx,versal-ipi-mailbox": _cells(range(2)),
    "st,stm32mp1-ipcc": _Known(_stm32_ipcc),
    "fsl,imx6sx-mu": _MU,
    "fsl,imx7ulp-mu": _MU,
    "fsl,imx8ulp-mu": _MU,
    "fsl,imx95-mu": _MU,
    "ti,omap2-mailbox": _OMAP,
    "ti,omap3-mailbox": _OMAP,
    "ti,omap4-mailbox": _OMAP,
    "ti,am654-mailbox": _OMAP,
    "ti,am64-mailbox": _OMAP,
    "arm,mhu": _MHU,
    "amlogic,meson-gxbb-mhu": _MHU,
    "arm,mhu-doorbell": _Known(lambda _tree, _path: [(range(3), range(32))], most=20),
    "arm,mhuv2-tx": _Known(_arm_mhuv2),
    "arm,mhuv2-rx": _Known(_arm_mhuv2),
    # The extension for doorbells; the architecture has up to 128 channels (Arm IHI 0072).
    "arm,mhuv3": _cells(range(1), range(128), range(32)),
    "nvidia,tegra186-hsp": _TEGRA,
    "nvidia,tegra194-hsp": _TEGRA,
    "nvidia,tegra234-hsp": _TEGRA,
    # 0 is the processor that Linux runs on.
    "thead,th1520-mbox": _cells(range(1, 4)),
    # The second cell is the processor to ring.
    "sophgo,cv1800b-mailbox": _Known(
        lambda _tree, _path: [(range(8), range(4))], identity=lambda each: each[:1]
    ),
    "sprd,sc9860-mailbox": _cells(range(8)),
    "sprd,sc9863a-mailbox": _cells(range(8)),
    "sprd,ums9230-mailbox": _cells(range(8)),
    "cix,sky1-mbox": _cells(range(11)),
    "allwinner,sun6i-a31-msgbox": _cells(range(8)),
    "st,stih407-mailbox": _Known(lambda _tree, _path: [(range(4), range(32))], most=20),
    "altr,mailbox-1.0": _cells(range(1)),
    # The channel, and the interrupts of the remote and of the answer.
    "hisilicon,hi6220-mbox": _Known(
        lambda _tree, _path: [(range(32), range(32), range(32))], identity=lambda each: each[:1]
    ),
}


def _known(tree: Tree, path: str) -> tuple[_Known, str] | None:
    """What is known of the controller at *path*, and the path that its driver binds to."""
    bound = driver(tree, path)
    names = tree.texts(bound, "compatible")
    return next(((_KNOWN[name], bound) for name in names if name in _KNOWN), None)


def boxes(tree: Tree, path: str) -> list[Box]:
    """Return the channels of the controller at *path*; empty if their number is not known."""
    known = _known(tree, path)
    return known[0].boxes(tree, known[1]) if known else []


def every(tree: Tree, path: str) -> Iterator[Specifier]:
    """Yield the specifiers of all channels of the controller at *path*, as far as known."""
    for box in boxes(tree, path):
        yield from itertools.product(*box)


def identity(tree: Tree, path: str, specifier: Specifier) -> Specifier:
    """Return what tells a channel apart: specifiers of one channel have the same."""
    known = _known(tree, path)
    return known[0].identity(specifier) if known and specifier else specifier


def users(tree: Tree, path: str) -> dict[Specifier, str]:
    """Return the nodes that use channels of the controller at *path*, by :func:`identity`."""
    return {
        identity(tree, path, specifier): node
        for node in tree.nodes
        if "mboxes" in tree.nodes[node] and not tree.idle(node)
        for target, specifier in tree.specifiers(node, "mboxes", "#mbox-cells")
        if target == path
    }


def problem(tree: Tree, path: str, specifier: Specifier) -> str:
    """Return why the controller at *path* has no such channel; "" if it has, or may have it."""
    found = boxes(tree, path)
    if not found or any(_in(box, specifier) for box in found):
        return ""
    near = [box for box in found if specifier[0] in box[0]] or found
    return f"has no such channel, it has {' and '.join(map(_shown, near))}"


def too_many(tree: Tree, path: str, added: int) -> str:
    """Return why *added* more channels cannot be in use; "" if they can."""
    known = _known(tree, path)
    most, now = known[0].most if known else 0, len(users(tree, path))
    if not most or now + added <= most:
        return ""
    return f"can have {most} channels in use, {now} are, and the link has {added}"


def _in(box: Box, specifier: Specifier) -> bool:
    return all(cell in values for cell, values in zip(specifier, box, strict=False))


def _shown(box: Box) -> str:
    return f"<{' '.join(_values(values) for values in box)}>"


def _values(values: Sequence[int]) -> str:
    """The values of a cell, in runs."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    texts = [" to ".join(shown((cell,))[1:-1] for cell in sorted({*run})) for run in runs]
    return "".join(texts) if len(texts) < 2 else f"({' or '.join(texts)})"
