# SPDX-License-Identifier: BSD-3-Clause
"""The cells of an interrupt, by the controller that takes them."""

from __future__ import annotations

import pytest
from rslctl.devicetree import interrupts
from rslctl.devicetree.tree import Interrupt, Tree

from tests.unit.devicetree.test_tree import cells


@pytest.mark.parametrize("width", interrupts.CELLS)
def test_a_specifier_has_the_number_that_is_read_from_it(width: int) -> None:
    made = interrupts.specifier(61, 4, width)
    assert made == {1: (61,), 2: (61, 4), 3: (0, 61, 4), 4: (0, 61, 4, 0)}[width]
    assert interrupts.number(Interrupt("/c", made)) == 61


def test_an_interrupt_of_one_processor_has_no_shared_number() -> None:
    assert interrupts.number(Interrupt("/gic", (1, 13, 8))) == -1
    assert interrupts.number(Interrupt("/c", ())) == -1


@pytest.mark.parametrize(
    ("compatible", "width", "message"),
    [
        ("arm,gic-v3", 4, ""),
        ("arm,cortex-a15-gic", 3, ""),
        ("qcom,msm-qgic2", 3, ""),
        # Each of these passes on what it gets to a GIC.
        ("fsl,imx7d-gpc", 3, ""),
        ("mediatek,mt6577-sysirq", 3, ""),
        ("ti,irq-crossbar", 3, ""),
        ("ti,omap4-wugen-mpu", 3, ""),
        ("samsung,exynos4412-pmu", 3, ""),
        # What the cells of a GICv5 mean is different, and a pin has a bank.
        ("arm,gic-v5", 3, "takes 3 cells and is no GIC"),
        ("allwinner,sun4i-a10-pinctrl", 3, "takes 3 cells and is no GIC"),
        ("sifive,plic-1.0.0", 1, ""),
        ("ti,am33xx-intc", 1, ""),
        ("brcm,bcm2836-armctrl-ic", 2, ""),
        ("x,y", 0, "is no interrupt controller of 1 to 4 cells"),
        ("x,y", 5, "is no interrupt controller of 1 to 4 cells"),
    ],
)
def test_a_controller_takes_interrupts_or_is_refused(
    compatible: str, width: int, message: str
) -> None:
    node = {"compatible": f"{compatible}\0".encode(), "#interrupt-cells": cells(width)}
    found = interrupts.problem(Tree("test", {"/c": node}), "/c")
    assert message in found
    assert bool(message) == bool(found)


def test_numbers_are_compared_where_they_mean_the_same() -> None:
    def node(width: int, phandle: int, above: int) -> dict[str, bytes]:
        return {
            "#interrupt-cells": cells(width),
            "phandle": cells(phandle),
            "interrupt-parent": cells(above),
        }

    nodes = {"/gic": node(3, 1, 1), "/gpc": node(3, 2, 1), "/gpio": node(2, 3, 1)}
    tree = Tree("test", {**nodes, "/gpio2": node(2, 4, 1)})
    assert interrupts.same_numbers(tree, "/gic", "/gpc")
    assert interrupts.same_numbers(tree, "/gpio", "/gpio")
    assert not interrupts.same_numbers(tree, "/gic", "/gpio")
    assert not interrupts.same_numbers(tree, "/gpio2", "/gpio")
