# SPDX-License-Identifier: BSD-3-Clause
"""Interrupt specifiers: what the cells mean to interrupt controllers, of a GIC or not."""

from __future__ import annotations

import re
from collections import Counter

from rslctl.devicetree.tree import Interrupt, Tree

#: The type of a shared peripheral interrupt (include/dt-bindings/interrupt-controller/arm-gic.h).
_GIC_SPI = 0

#: The numbers of cells that a specifier can have here.
CELLS = (1, 2, 3, 4)

#: Compatibles of a GIC, and of the controllers in front of one that take its cells. A GICv5 has
#: other types (arm,gic-v5.yaml of Linux).
_GIC = re.compile(
    r".*(gic|pl390)(?!-v5).*|.*-(gpc|sysirq|ictlr|wugen-mpu|irq-crossbar|r-intc)|ti,irq-crossbar"
    r"|samsung,exynos\d+-pmu"
)


def specifier(number: int, trigger: int, cells: int) -> tuple[int, ...]:
    """Return the specifier of an interrupt for a controller whose specifiers have *cells* cells.

    One cell is the number; two are the number and the trigger (irq_domain_xlate_onecell() and
    irq_domain_xlate_twocell() of Linux). Three are those of a GIC: the type, the number of the
    shared peripheral interrupt, the trigger. The fourth of a GICv3 is the phandle of a partition,
    which only interrupts of a processor's own have.
    """
    return {
        1: (number,),
        2: (number, trigger),
        3: (_GIC_SPI, number, trigger),
        4: (_GIC_SPI, number, trigger, 0),
    }[cells]


def number(interrupt: Interrupt) -> int:
    """Return the number of an interrupt; -1 if it is of a GIC and not shared."""
    cells = interrupt.cells
    if len(cells) > 2:
        return cells[1] if cells[0] == _GIC_SPI else -1
    return cells[0] if cells else -1


def problem(tree: Tree, controller: str) -> str:
    """Return why a link cannot use interrupts of the controller at a path; "" if it can."""
    cells = tree.cell(controller, "#interrupt-cells", 0)
    names = tree.texts(controller, "compatible")
    if cells not in CELLS:
        return f"is no interrupt controller of 1 to 4 cells, its #interrupt-cells are {cells}"
    if cells > 2 and not any(map(_GIC.fullmatch, names)):
        return f"({', '.join(names)}) takes {cells} cells and is no GIC, whose cells rslctl writes"
    return ""


def parents(tree: Tree) -> list[str]:
    """Return the controllers that a link could have as its parent, that of most nodes first."""
    found = Counter(
        tree.interrupt_parent(path) for path in tree.nodes if "interrupts" in tree.nodes[path]
    )
    return [path for path, _ in found.most_common() if path and not problem(tree, path)]


def same_numbers(tree: Tree, one: str, other: str) -> bool:
    """Return whether a number means the same interrupt to two controllers.

    It does if both are a GIC, or pass on to it what they get.
    """
    if one == other:
        return True
    wide = all(tree.cell(each, "#interrupt-cells", 0) > 2 for each in (one, other))
    return wide and tree.top_controller(one) == tree.top_controller(other)
