# SPDX-License-Identifier: BSD-3-Clause
"""The SoCs whose remotes are known: their cores, and what rings each.

Sources: the .dtsi files of Linux 6.12 to 7.2 for NXP, ST and TI, whose mailboxes belong to the
cores there by the property mboxes; AMD UG1085 for the ZynqMP, and TF-A's
plat/xilinx/versal*/include/plat_ipi.h for the Versal's registers and bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from rslctl.profile import zynqmp
from rslctl.profile.model import Doorbell, RemoteSide


@dataclass(frozen=True)
class At:
    """A mailbox controller: the physical address where its registers begin."""

    address: int
    #: The number of Linux among the users of a TI cluster, if no sub-node of a tree says it.
    user: int = 0


@dataclass(frozen=True)
class Agent:
    """The IPI agent of a remote on a ZynqMP, a key of :data:`zynqmp.AGENTS`."""

    number: int


@dataclass(frozen=True)
class Bells:
    """Doorbells of which one will do, each with the remote's side."""

    either: tuple[tuple[Doorbell, RemoteSide], ...]
    #: A compatible of the node that has the registers, and that is disabled for the link.
    node: str = ""


@dataclass(frozen=True)
class Remote:
    """A core of an SoC beside those that Linux runs on."""

    #: The name that its link gets.
    name: str
    #: A key of :data:`cores.CORES`; "" for a core that the table does not have.
    core: str
    by: At | Agent | Bells
    #: The unit address of the node by which remoteproc boots it; None if any will do.
    unit: int | None = None
    #: The compatibles of that node, if its core is not in the table of cores.
    compatibles: tuple[str, ...] = ()
    #: Whether nothing else boots it.
    by_node: bool = False
    #: What a user has to know of it.
    note: str = ""


@dataclass(frozen=True)
class Soc:
    """An SoC."""

    #: The entries of the root's compatible that mean it.
    compatibles: tuple[str, ...]
    #: Where its RAM begins.
    ram: int
    #: Its remotes; none if all its cores are Linux's.
    remotes: tuple[Remote, ...]


_DM = "TI's device manager runs on it, and has to stay in its program"


def _mu(name: str, core: str, address: int) -> Remote:
    return Remote(name, core, At(address))


def _dsp(address: int, unit: int, *compatibles: str) -> Remote:
    return Remote("dsp", "", At(address), unit, compatibles, by_node=True)


def _ti(
    core: str, *rows: tuple[str, int, int], user: int = 0, note: str = ""
) -> tuple[Remote, ...]:
    """Cores of TI: the name, the address of the cluster, the unit address of the core's node.

    *note* is of the first.
    """
    return tuple(
        Remote(
            name,
            core,
            At(cluster, user),
            unit,
            note=note if name == rows[0][0] else "",
        )
        for name, cluster, unit in rows
    )


_J7_MCU = (
    ("mcu_r5fss0_core0", 0x31F80000, 0x41000000),
    ("mcu_r5fss0_core1", 0x31F80000, 0x41400000),
)
_J7_MAIN_0 = (
    ("main_r5fss0_core0", 0x31F81000, 0x5C00000),
    ("main_r5fss0_core1", 0x31F81000, 0x5D00000),
)
_J7_MAIN_1 = (
    ("main_r5fss1_core0", 0x31F82000, 0x5E00000),
    ("main_r5fss1_core1", 0x31F82000, 0x5F00000),
)
_J7_MAIN_2 = (
    ("main_r5fss2_core0", 0x31F83000, 0x5900000),
    ("main_r5fss2_core1", 0x31F83000, 0x5A00000),
)
_J7_C7X = (("c71_0", 0x31F84000, 0x64800000), ("c71_1", 0x31F84000, 0x65800000))
_J7_LARGE = (
    *_ti("k3-r5", *_J7_MCU, *_J7_MAIN_0, *_J7_MAIN_1, *_J7_MAIN_2, note=_DM),
    *_ti("k3-c7x", *_J7_C7X, ("c71_2", 0x31F85000, 0x66800000)),
)
_AM62_WKUP = ("wkup_r5fss0_core0", 0x29000000, 0x78000000)


def _omap(name: str, core: str, compatible: str, cluster: int, unit: int) -> Remote:
    """A core of an AM57x, whose Linux is user 2 of these clusters."""
    note = "it sees memory through an MMU, which its program's resource table sets up"
    return Remote(name, core, At(cluster, 2), unit, (compatible,), by_node=True, note=note)


def _versal(first: int, spi: int, cores: tuple[str, str]) -> tuple[Remote, ...]:
    """The R5s or R52s of a Versal: IPI 1 and 2 are theirs, 3 to 5 are free for Linux.

    *first* is the address of the registers of IPI 0, *spi* its interrupt.
    """

    def bell(ours: int, theirs: int, core: str) -> tuple[Doorbell, RemoteSide]:
        doorbell = Doorbell(
            register=first + ours * 0x10000,
            kick_values=(4 << theirs,),
            spis=(spi + ours,),
            trigger="level-high",
            size=zynqmp.SIZE,
            offsets=zynqmp.OFFSETS,
            status_masks=(4 << theirs,),
        )
        register = first + theirs * 0x10000 + zynqmp.TRIG
        return doorbell, RemoteSide(register, (4 << ours,), (spi + theirs + 32,), core)

    return tuple(
        Remote(f"rpu{n}", core, Bells(tuple(bell(ours, n + 1, core) for ours in (3, 4, 5))), n)
        for n, core in enumerate(cores)
    )


#: INTIDs 80 to 143 of QEMU's virt are those of the GICv2m frame (hw/arm/virt.c of QEMU): a write
#: of one to its register raises it.
_VIRT = (
    Doorbell(0x08020040, (80, 81, 82, 83), (80, 81, 82, 83), "edge-rising"),
    RemoteSide(0x08020040, (112, 113, 114, 115), (80, 81, 82, 83), "cortex-a"),
)

SOCS = (
    Soc(
        ("xlnx,zynqmp",),
        0,
        tuple(Remote(f"rpu{n}", f"zynqmp-r5-{n}", Agent(n + 1), n) for n in (0, 1)),
    ),
    Soc(("xlnx,versal-net",), 0, _versal(0xEB330000, 57, ("cortex-r", "cortex-r"))),
    Soc(("xlnx,versal",), 0, _versal(0xFF330000, 30, ("versal-r5-0", "versal-r5-1"))),
    Soc(("fsl,imx6sx",), 0x80000000, (_mu("m4", "imx6sx-m4", 0x02294000),)),
    Soc(("fsl,imx7d", "fsl,imx7s"), 0x80000000, (_mu("m4", "imx7d-m4", 0x30AA0000),)),
    Soc(("fsl,imx7ulp",), 0x60000000, (_mu("m4", "imx7ulp-m4", 0x40220000),)),
    Soc(("fsl,imx8mm",), 0x40000000, (_mu("m4", "imx8mm-m4", 0x30AA0000),)),
    Soc(("fsl,imx8mq",), 0x40000000, (_mu("m4", "imx8mq-m4", 0x30AA0000),)),
    Soc(("fsl,imx8mn",), 0x40000000, (_mu("m7", "imx8mn-m7", 0x30AA0000),)),
    Soc(
        ("fsl,imx8mp",),
        0x40000000,
        (
            _mu("m7", "imx8mp-m7", 0x30AA0000),
            _dsp(0x30E60000, 0x3B6E8000, "fsl,imx8mp-hifi4", "fsl,imx8mp-dsp"),
        ),
    ),
    Soc(
        ("fsl,imx8qm", "fsl,imx8qp"),
        0x80000000,
        (
            _mu("m4_0", "imx8qm-m4-0", 0x5D200000),
            _mu("m4_1", "imx8qm-m4-1", 0x5D210000),
            _dsp(0x5D280000, 0x556E8000, "fsl,imx8qm-hifi4"),
        ),
    ),
    Soc(
        ("fsl,imx8qxp", "fsl,imx8dx", "fsl,imx8dxp", "fsl,imx8dxl"),
        0x80000000,
        (
            _mu("m4", "imx8qxp-m4", 0x5D200000),
            _dsp(0x5D280000, 0x596E8000, "fsl,imx8qxp-hifi4", "fsl,imx8qxp-dsp"),
        ),
    ),
    Soc(("fsl,imx8ulp",), 0x80000000, (_mu("m33", "imx8ulp-m33", 0x29220000),)),
    Soc(("fsl,imx91",), 0x80000000, ()),
    Soc(("fsl,imx93",), 0x80000000, (_mu("m33", "imx93-m33", 0x44230000),)),
    Soc(("fsl,imx95",), 0x80000000, (_mu("m7", "imx95-m7", 0x42430000),)),
    Soc(("st,stm32mp131", "st,stm32mp133", "st,stm32mp135"), 0xC0000000, ()),
    Soc(
        ("st,stm32mp151", "st,stm32mp153", "st,stm32mp157"),
        0xC0000000,
        (Remote("m4", "stm32mp1-m4", At(0x4C001000)),),
    ),
    Soc(
        tuple(f"st,stm32mp2{n}" for n in ("31", "33", "35", "51", "53", "55", "57")),
        0x80000000,
        (
            Remote(
                "m33",
                "cortex-m",
                At(0x40490000),
                compatibles=("st,stm32mp2-m33", "st,stm32mp2-m33-tee"),
            ),
        ),
    ),
    Soc(
        ("ti,am625",),
        0x80000000,
        (*_ti("k3-m4", ("m4", 0x29000000, 0x5000000)), *_ti("k3-r5", _AM62_WKUP, note=_DM)),
    ),
    Soc(
        ("ti,am62a7", "ti,am62d2"),
        0x80000000,
        (
            *_ti("k3-r5", _AM62_WKUP, ("mcu_r5fss0_core0", 0x29020000, 0x79000000), note=_DM),
            *_ti("k3-c7x", ("c7x_0", 0x29010000, 0x7E000000)),
        ),
    ),
    Soc(
        ("ti,am62p5",),
        0x80000000,
        _ti("k3-r5", _AM62_WKUP, ("mcu_r5fss0_core0", 0x29010000, 0x79000000), note=_DM),
    ),
    Soc(("ti,am62l3",), 0x80000000, ()),
    Soc(
        ("ti,j722s",),
        0x80000000,
        (
            *_ti(
                "k3-r5",
                _AM62_WKUP,
                ("mcu_r5fss0_core0", 0x29010000, 0x79000000),
                ("main_r5fss0_core0", 0x29030000, 0x78400000),
                note=_DM,
            ),
            *_ti("k3-c7x", ("c7x_0", 0x29020000, 0x7E000000), ("c7x_1", 0x29030000, 0x7E200000)),
        ),
    ),
    Soc(
        ("ti,am642",),
        0x80000000,
        (
            *_ti("k3-m4", ("m4", 0x29060000, 0x5000000), user=2),
            *_ti(
                "k3-r5",
                ("main_r5fss0_core0", 0x29020000, 0x78000000),
                ("main_r5fss0_core1", 0x29020000, 0x78200000),
                ("main_r5fss1_core0", 0x29040000, 0x78400000),
                ("main_r5fss1_core1", 0x29040000, 0x78600000),
                user=2,
            ),
        ),
    ),
    Soc(
        ("ti,am654",),
        0x80000000,
        _ti(
            "k3-r5",
            ("mcu_r5fss0_core0", 0x31F80000, 0x41000000),
            ("mcu_r5fss0_core1", 0x31F81000, 0x41400000),
        ),
    ),
    Soc(("ti,j7200",), 0x80000000, _ti("k3-r5", *_J7_MCU, *_J7_MAIN_0, note=_DM)),
    Soc(
        ("ti,j721e",),
        0x80000000,
        (
            *_ti("k3-r5", *_J7_MCU, *_J7_MAIN_0, *_J7_MAIN_1, note=_DM),
            *_ti(
                "k3-c66",
                ("c66_0", 0x31F83000, 0x4D80800000),
                ("c66_1", 0x31F83000, 0x4D81800000),
            ),
            *_ti("k3-c7x", _J7_C7X[0]),
        ),
    ),
    Soc(
        ("ti,j721s2",),
        0x80000000,
        (*_ti("k3-r5", *_J7_MCU, *_J7_MAIN_0, *_J7_MAIN_1, note=_DM), *_ti("k3-c7x", *_J7_C7X)),
    ),
    Soc(
        ("ti,j784s4",), 0x80000000, (*_J7_LARGE, *_ti("k3-c7x", ("c71_3", 0x31F85000, 0x67800000)))
    ),
    Soc(("ti,j742s2",), 0x80000000, _J7_LARGE),
    Soc(
        ("ti,dra7", "ti,dra74", "ti,dra72", "ti,am5728", "ti,am5718"),
        0x80000000,
        (
            _omap("ipu1", "cortex-m", "ti,dra7-ipu", 0x48840000, 0x58820000),
            _omap("ipu2", "cortex-m", "ti,dra7-ipu", 0x48842000, 0x55020000),
            _omap("dsp1", "", "ti,dra7-dsp", 0x48840000, 0x40800000),
            _omap("dsp2", "", "ti,dra7-dsp", 0x48842000, 0x41000000),
        ),
    ),
    Soc(
        ("linux,dummy-virt",),
        0x40000000,
        (Remote("rpu0", "cortex-a", Bells((_VIRT,), node="arm,gic-v2m-frame")),),
    ),
)


def find(compatibles: list[str]) -> Soc | None:
    """Return the SoC of a root's compatible; None if the table does not have it.

    The most specific entry that the table has counts.
    """
    by_name = {name: soc for soc in SOCS for name in soc.compatibles}
    return next((by_name[name] for name in compatibles if name in by_name), None)
