# SPDX-License-Identifier: BSD-3-Clause
"""The remotes' cores: which memory each can reach, and where Linux can load its program.

Sources, all of Linux 6.12 to 7.2 unless noted: the tables imx_rproc_att_* of
drivers/remoteproc/imx_rproc.c for NXP's; dma-ranges of stm32mp151.dtsi, and ST RM0436 2.5 for its
DDR; drivers/remoteproc/ti_k3_*.c for TI's; xlnx_r5_remoteproc.c and AMD UG1085 chapter 4 for AMD's.
From 0xe0000000 on a Cortex-M has its own registers (Armv7-M and Armv8-M Architecture Reference
Manuals, system address map).
"""

from __future__ import annotations

from dataclasses import dataclass

from rslctl.region import Region


@dataclass(frozen=True)
class Range:
    """Memory that a core reaches: its first address for the core and for Linux; size in bytes."""

    remote: int
    linux: int
    size: int

    @property
    def seen_by_linux(self) -> Region:
        """The range in Linux's addresses."""
        return Region(self.linux, self.size)


@dataclass(frozen=True)
class Core:
    """A core that a remote's program runs on."""

    #: What it reaches; of several addresses for the same memory the first counts.
    ranges: tuple[Range, ...]
    #: The compatibles that its remoteproc node can have; empty if none is known.
    compatibles: tuple[str, ...] = ()
    #: Where that driver can load a program, in Linux's addresses; None: everywhere in the ranges.
    loads: tuple[Region, ...] | None = None


def _same(first: int, end: int) -> Range:
    """Memory from *first* to before *end*, at the same addresses for both sides."""
    return Range(first, first, end - first)


#: What a core with 32-bit addresses reaches; of a core that is not known this is assumed.
BITS_32 = (_same(0, 1 << 32),)
#: What a program on this machine, or an Armv8-A core, reaches.
BITS_64 = (_same(0, 1 << 64),)

_CORTEX_M = 0xE0000000


def _amd(compatible: str, core: int) -> Core:
    """An R5 with its two tightly coupled memories in split mode; below 1 MiB it has no DDR."""
    tcm = 0xFFE00000 + core * 0x90000
    return Core(
        (
            Range(0, tcm, 0x10000),
            Range(0x20000, tcm + 0x20000, 0x10000),
            _same(0x100000, 1 << 32),
        ),
        (compatible, "xilinx,r5f"),
    )


def _imx(compatible: str, *ranges: Range, loads: tuple[Region, ...] | None = None) -> Core:
    return Core(ranges, (compatible, f"{compatible}-mmio"), loads)


_STM32MP1 = (
    Range(0, 0x38000000, 0x10000),
    Range(0x10000000, 0x10000000, 0x60000),
    Range(0x30000000, 0x30000000, 0x60000),
)
_IMX93_TCM = (Range(0x0FFC0000, 0x201C0000, 0x40000), Range(0x20000000, 0x20200000, 0x40000))
_IMX8M = (
    Range(0x20200000, 0x00900000, 0x40000),
    Range(0x40000000, 0x40000000, 0x80000000),
)
#: What the Cortex-M4s and the Cortex-M7s of the family have.
_IMX8M_M4 = (
    Range(0x1FFE0000, 0x007E0000, 0x20000),
    Range(0x20000000, 0x00800000, 0x20000),
    *_IMX8M,
)
_IMX8M_M7 = (Range(0, 0x007E0000, 0x20000), Range(0x20000000, 0x00800000, 0x20000), *_IMX8M)

#: The cores by name. Names are the family's and the core's; a number tells cores of a kind apart
#: that have memory of their own.
CORES = {
    "zynqmp-r5-0": _amd("xlnx,zynqmp-r5f", 0),
    "zynqmp-r5-1": _amd("xlnx,zynqmp-r5f", 1),
    "versal-r5-0": _amd("xlnx,versal-r5f", 0),
    "versal-r5-1": _amd("xlnx,versal-r5f", 1),
    "stm32mp1-m4": Core(
        (*_STM32MP1, _same(0xC0000000, _CORTEX_M)),
        ("st,stm32mp1-m4",),
        tuple(each.seen_by_linux for each in _STM32MP1),
    ),
    "imx6sx-m4": _imx(
        "fsl,imx6sx-cm4",
        Range(0x1FFF8000, 0x007F8000, 0x8000),
        Range(0x20000000, 0x00800000, 0x8000),
        Range(0x208F8000, 0x008F8000, 0x4000),
        _same(0x80000000, _CORTEX_M),
    ),
    "imx7d-m4": _imx(
        "fsl,imx7d-cm4",
        Range(0x00180000, 0x00180000, 0x8000),
        Range(0x1FFF8000, 0x007F8000, 0x8000),
        Range(0x20000000, 0x00800000, 0x8000),
        Range(0x20200000, 0x00900000, 0x48000),
        _same(0x80000000, _CORTEX_M),
    ),
    "imx7ulp-m4": _imx(
        "fsl,imx7ulp-cm4",
        _same(0x1FFD0000, 0x20010000),
        _same(0x2F000000, 0x2F040000),
        _same(0x60000000, 0xA0000000),
    ),
    "imx8mm-m4": _imx(
        "fsl,imx8mm-cm4",
        *_IMX8M_M4,
    ),
    "imx8mq-m4": _imx(
        "fsl,imx8mq-cm4",
        *_IMX8M_M4,
    ),
    "imx8mn-m7": _imx(
        "fsl,imx8mn-cm7",
        *_IMX8M_M7,
    ),
    "imx8mp-m7": _imx(
        "fsl,imx8mp-cm7",
        *_IMX8M_M7,
    ),
    "imx8qm-m4-0": _imx(
        "fsl,imx8qm-cm4",
        Range(0x1FFE0000, 0x34FE0000, 0x20000),
        Range(0x20000000, 0x35000000, 0x20000),
        _same(0x80000000, _CORTEX_M),
    ),
    "imx8qm-m4-1": _imx(
        "fsl,imx8qm-cm4",
        Range(0x1FFE0000, 0x38FE0000, 0x20000),
        Range(0x20000000, 0x39000000, 0x20000),
        _same(0x80000000, _CORTEX_M),
    ),
    "imx8qxp-m4": _imx(
        "fsl,imx8qxp-cm4",
        Range(0x1FFE0000, 0x34FE0000, 0x40000),
        _same(0x80000000, _CORTEX_M),
    ),
    "imx8ulp-m33": _imx(
        "fsl,imx8ulp-cm33",
        _same(0x1FFC0000, 0x20080000),
        _same(0x21000000, 0x21010000),
        _same(0x80000000, _CORTEX_M),
    ),
    # The driver knows two parts of the DDR only; NXP's own trees have the buffers in a third.
    "imx93-m33": _imx(
        "fsl,imx93-cm33",
        *_IMX93_TCM,
        _same(0x80000000, _CORTEX_M),
        loads=(
            *(each.seen_by_linux for each in _IMX93_TCM),
            Region(0x80000000, 0x10000000),
            Region(0xC0000000, 0x10000000),
        ),
    ),
    "imx95-m7": _imx(
        "fsl,imx95-cm7",
        Range(0, 0x203C0000, 0x40000),
        Range(0x20000000, 0x20400000, 0x40000),
        _same(0x80000000, 0xD0000000),
    ),
    "k3-r5": Core(
        BITS_32,
        tuple(f"ti,{chip}-r5f" for chip in ("am654", "am64", "am62", "j7200", "j721e", "j721s2")),
    ),
    "k3-m4": Core(
        (
            Range(0, 0x05000000, 0x30000),
            Range(0x30000, 0x05040000, 0x10000),
            _same(0x60000000, _CORTEX_M),
        ),
        ("ti,am64-m4fss",),
    ),
    "k3-c66": Core(BITS_32, ("ti,j721e-c66-dsp",)),
    # The driver of its kernel loads to 32-bit addresses only.
    "k3-c7x": Core(
        BITS_64,
        tuple(f"ti,{chip}-dsp" for chip in ("j721e-c71", "j721s2-c71", "am62a-c7xv")),
        (Region(0, 1 << 32),),
    ),
    "cortex-m": Core((_same(0, _CORTEX_M),)),
    "cortex-r": Core(BITS_32),
    "cortex-a": Core(BITS_64),
}


def seen(ranges: tuple[Range, ...], region: Region) -> Region | None:
    """Return where a core finds *region*, which is in Linux's addresses; None if it cannot."""
    for each in ranges:
        if each.seen_by_linux.contains(region):
            return Region(region.base - each.linux + each.remote, region.size)
    return None


def spans(ranges: tuple[Range, ...]) -> str:
    """Return the ranges in Linux's addresses as text for a message."""
    return ", ".join(f"{each.linux:#x} to {each.linux + each.size:#x}" for each in ranges)
