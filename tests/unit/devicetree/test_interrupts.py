# SPDX-License-Identifier: BSD-3-Clause
"""The cells of an interrupt, by the controller that takes them."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.devicetree import interrupts, overlay, tree
from rslctl.devicetree.tree import Interrupt, Tree
from rslctl.errors import SeveralError
from rslctl.profile.model import NodeRef

from tests.unit.devicetree.bases import DOORBELL, Base, profile
from tests.unit.devicetree.test_tree import cells
from tests.unit.programs import needs_dtc


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
    both = Tree("test", {**nodes, "/gpio2": node(2, 4, 1)})
    assert interrupts.same_numbers(both, "/gic", "/gpc")
    assert interrupts.same_numbers(both, "/gpio", "/gpio")
    assert not interrupts.same_numbers(both, "/gic", "/gpio")
    assert not interrupts.same_numbers(both, "/gpio2", "/gpio")


def with_controller(text: str, *parts: str) -> Base:
    """A base whose root has another interrupt controller than the GIC."""

    class Other(Base):
        def text(self) -> str:
            whole = super().text().replace("interrupt-parent = <&gic>;", parts[0] if parts else "")
            return whole.replace("soc {", f"{text} soc {{", 1)

    return Other()


def rung(base: Base, parent: NodeRef | None, spi: int = 26) -> tree.Tree:
    """The base with a doorbell's overlay, by an interrupt of the controller *parent*."""
    bell = dataclasses.replace(DOORBELL, kick_values=(1,), spis=(spi,), trigger="level-high")
    made = dataclasses.replace(profile(bell), interrupt_parent=parent)
    blob = base.blob()
    fitted = overlay.for_base(made, "rsl", tree.from_blob(blob, "base"))
    return tree.from_blob(overlay.merge(fitted, blob), "merged")


#: jh7110-starfive-visionfive-2-v1.3b.dtb, am335x-boneblack.dtb, bcm2836-rpi-2-b.dtb, and
#: rk3588-rock-5b.dtb: a PLIC, controllers of one and of two cells, and a GICv3 of four.
PLIC = (
    'ic: plic { compatible = "sifive,plic-1.0.0"; interrupt-controller; #interrupt-cells = <1>; '
    "riscv,ndev = <136>; };"
)
INTC = 'ic: intc { compatible = "ti,am33xx-intc"; interrupt-controller; #interrupt-cells = <1>; };'
ARMCTRL = (
    'ic: ctrl { compatible = "brcm,bcm2836-armctrl-ic"; interrupt-controller; '
    "#interrupt-cells = <2>; };"
)
GICV3 = 'ic: gic3 { compatible = "arm,gic-v3"; interrupt-controller; #interrupt-cells = <4>; };'


@needs_dtc
@pytest.mark.parametrize(
    ("controller", "path", "expected"),
    [
        (PLIC, "/plic", (26,)),
        (INTC, "/intc", (26,)),
        (ARMCTRL, "/ctrl", (26, 4)),
        (GICV3, "/gic3", (0, 26, 4, 0)),
    ],
)
@pytest.mark.parametrize("said", [True, False])
def test_an_interrupt_has_the_cells_that_its_controller_takes(
    controller: str, path: str, expected: tuple[int, ...], said: bool
) -> None:
    root = "" if said else "interrupt-parent = <&ic>;"
    merged = rung(with_controller(controller, root), NodeRef("", (path,)) if said else None)
    assert merged.cells("/rsl-mbox@10000", "interrupts") == expected
    assert merged.interrupts("/rsl-mbox@10000")[0].controller == path


@needs_dtc
@pytest.mark.parametrize(
    ("extra", "spi", "expected"),
    [
        ("dev { interrupt-parent = <&ic>; interrupts = <26>; };", 26, "interrupt 26 is used by /d"),
        ("dev { interrupts-extended = <&ic 26>; };", 26, "interrupt 26 is used by /dev"),
        # The number of another controller's interrupt is another's.
        ("dev { interrupt-parent = <&gic>; interrupts = <0 26 4>; };", 26, ""),
        ("", 137, "/plic has the interrupts 1 to 136, no 137"),
        ("", 0, "/plic has the interrupts 1 to 136, no 0"),
    ],
)
def test_the_interrupts_of_a_plic_are_compared(extra: str, spi: int, expected: str) -> None:
    base = with_controller(f"{PLIC} {extra}")
    try:
        rung(base, NodeRef("", ("/plic",)), spi)
    except SeveralError as error:
        assert expected
        assert f"base: interrupt: r0: {expected}" in error.messages[0]
    else:
        assert not expected


@needs_dtc
def test_a_root_without_interrupt_parent_is_told_which_one_to_give() -> None:
    base = with_controller(f"{PLIC} dev {{ interrupt-parent = <&ic>; interrupts = <1>; }};")
    with pytest.raises(SeveralError, match="interrupt-parent, for example '/plic'"):
        rung(base, None)
