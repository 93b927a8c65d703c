# SPDX-License-Identifier: BSD-3-Clause
"""The mailbox controllers that the kernel module knows, and what each expects of its client.

The rows are those of kmod/rsl_mbox/mailbox_styles.c, which says where in Linux each comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rslctl.devicetree.nodes import source_value
from rslctl.devicetree.tree import Tree, parent
from rslctl.profile.model import Channels

#: In the type of a channel: the channel is for kicks. For types that differ by direction.
_KICKS = 0x80000000

#: The most vectors in a message of payload "u32-value": the controller may use the last bit.
VALUE_VECTORS = 31


#: The compatibles of an IPI agent. Its channels belong to its sub-nodes, one for each remote.
IPI = {"xlnx,zynqmp-ipi-mailbox", "xlnx,versal-ipi-mailbox"}


@dataclass(frozen=True)
class Style:
    """What channels of one type expect of their client."""

    #: The form of messages, and who reports that one was sent, as in the device tree.
    payload: str = ""
    tx_done: str = ""
    #: What a link can use the channel for: "both", "kicks", "notifications", or "one direction",
    #: which is either of them.
    way: str = "both"
    #: Whether the client has to acknowledge a received message.
    rx_ack: bool = False
    #: Whether the controller reports only if it is asked, so that the link can choose who reports.
    polls: bool = False
    #: Why a link cannot use the channel, and what to use instead; "" if it can.
    refused: str = ""

    def serves(self, way: str) -> bool:
        """Whether a link can use the channel for "both", "kicks" or "notifications"."""
        return self.way in ("both", way) or (self.way == "one direction" and way != "both")


def _no_type(_tree: Tree, _path: str, _specifier: tuple[int, ...]) -> int:
    return 0


def _first_cell(_tree: Tree, _path: str, specifier: tuple[int, ...]) -> int:
    return specifier[0] if specifier else 0


def _omap_mailbox_type(tree: Tree, _path: str, specifier: tuple[int, ...]) -> int:
    child = tree.phandles.get(specifier[0], "") if specifier else ""
    return int("ti,mbox-send-noirq" in tree.nodes.get(child, {}))


def _arm_mhuv2_type(tree: Tree, path: str, specifier: tuple[int, ...]) -> int:
    left = specifier[0] if specifier else 0
    cells = tree.cells(path, "arm,mhuv2-protocols")
    for protocol, windows in zip(cells[::2], cells[1::2], strict=False):
        channels = 1 if protocol else windows
        if left < channels:
            return protocol
        left -= channels
    return 0


def _tegra_hsp_type(_tree: Tree, _path: str, specifier: tuple[int, ...]) -> int:
    if len(specifier) != 2 or not specifier[0]:
        return 0
    return specifier[0] | (specifier[1] & _KICKS)


def _cix_type(tree: Tree, path: str, specifier: tuple[int, ...]) -> int:
    channel = specifier[0] if specifier and specifier[0] > 7 else 0
    return channel | (_KICKS if tree.texts(path, "cix,mbox-dir")[:1] == ["tx"] else 0)


@dataclass(frozen=True)
class Controller:
    """A compatible of the table: its styles by the type of a channel."""

    styles: dict[int, Style]
    #: The type of a channel, from the tree, the controller's path and the channel's specifier.
    type_of: Callable[[Tree, str, tuple[int, ...]], int] = _no_type


_ZYNQMP_IPI = {
    0: Style("zynqmp", "client", way="kicks", rx_ack=True, polls=True),
    1: Style("zynqmp", "client", way="notifications", rx_ack=True, polls=True),
}
_STM32_IPCC = {
    0: Style("none", "controller"),
}
_IMX_MU = {
    0: Style("u32-pointer", "controller", way="kicks"),
    1: Style("u32-pointer", "controller", way="notifications"),
    2: Style("none", "controller", way="kicks"),
    3: Style("none", "controller", way="notifications"),
    4: Style(refused="channel type 4 resets the unit, use types 0 to 3"),
    5: Style(refused="channel type 5 waits for the remote with interrupts off, use type 2"),
}
_IMX_MU_FIRMWARE = {
    0: Style(refused="speaks the protocol of NXP's firmware, use an MU that is the remote's"),
}
_OMAP_MAILBOX = {
    0: Style("u32-value", "controller"),
    1: Style("u32-value", "client"),
}
_TI_MSGMGR = {
    0: Style(refused="speaks the protocol of TI's firmware, use a mailbox cluster"),
}
_ARM_MHU = {
    0: Style("u32-pointer", "controller", polls=True),
}
_ARM_MHU_DB = {
    0: Style("none", "controller", polls=True),
}
_ARM_MHUV2_TX = {
    0: Style("none", "controller", way="kicks"),
    1: Style("buffer", "controller", way="kicks"),
}
_ARM_MHUV2_RX = {
    0: Style("none", "controller", way="notifications"),
    1: Style("buffer", "controller", way="notifications"),
}
_ARM_MHUV3 = {
    0: Style("none", "controller", way="one direction"),
    1: Style(refused="the driver has no channel type 1, use type 0"),
    2: Style(refused="the driver has no channel type 2, use type 0"),
}
_TEGRA_HSP = {
    0: Style("none", "client"),
    0x1: Style("u32-value", "controller", way="notifications"),
    0x1 | _KICKS: Style("u32-value", "controller", way="kicks"),
    0x101: Style("u32-pointer", "controller", way="notifications"),
    0x101 | _KICKS: Style("u32-pointer", "controller", way="kicks"),
}
_TH1520 = {
    0: Style("u32-pointer", "controller"),
}
_MCHP_IPC = {
    0: Style("buffer", "controller"),
}
_CV1800 = {
    0: Style("u32-pointer", "client"),
}
_SPRD = {
    0: Style("u32-pointer", "controller"),
}
_ROCKCHIP = {
    0: Style(refused="the driver never reports that a message was sent, use rsl,mbox-doorbell"),
}
_CIX = {
    0: Style("u32-pointer", "controller", way="notifications"),
    8: Style("none", "client", way="notifications"),
    9: Style(refused="messages of channel 9 begin with their length, use channel 8"),
    10: Style(refused="messages of channel 10 begin with their length, use channel 8"),
    0 | _KICKS: Style(refused="the driver never reports that channels 0 to 7 sent, use channel 8"),
    8 | _KICKS: Style("none", "client", way="kicks"),
    9 | _KICKS: Style(refused="messages of channel 9 begin with their length, use channel 8"),
    10 | _KICKS: Style(refused="messages of channel 10 begin with their length, use channel 8"),
}
_AXIADO = {
    0: Style(refused="messages begin with their length, use rsl,mbox-doorbell"),
}
_QCOM_IPCC = {
    0: Style("none", "client", way="kicks"),
}
_MTK_ADSP = {
    0: Style("u32-pointer", "client"),
}
_MTK_CMDQ = {
    0: Style(refused="takes command packets of the GCE, which is no remote"),
}
_BCM2835 = {
    0: Style("u32-pointer", "controller", polls=True),
}
_BCM_DMA = {
    0: Style(refused="takes descriptors of a DMA engine, which is no remote"),
}
_BCM74110 = {
    0: Style(refused="the driver writes to the log when the remote is slow, use rsl,mbox-doorbell"),
}
_SUN6I = {
    0: Style("u32-pointer", "controller", way="one direction", polls=True),
}
_STI = {
    0: Style("none", "client"),
}
_ALTERA = {
    0: Style("u32-pointer", "controller", way="one direction"),
}
_HI6220 = {
    0: Style("u32-pointer", "controller", way="one direction"),
}
_HI3660 = {
    0: Style(refused="the driver waits for the remote with interrupts off, use rsl,mbox-doorbell"),
}
_AST2700 = {
    0: Style(refused="the driver writes to the log when the remote is slow, use rsl,mbox-doorbell"),
}
_APPLE = {
    0: Style("u32-pointer", "controller"),
}

#: The table, by the compatible by which a controller's driver matches.
CONTROLLERS: dict[str, Controller] = {
    "xlnx,zynqmp-ipi-mailbox": Controller(_ZYNQMP_IPI, _first_cell),
    "xlnx,versal-ipi-mailbox": Controller(_ZYNQMP_IPI, _first_cell),
    "st,stm32mp1-ipcc": Controller(_STM32_IPCC),
    "fsl,imx6sx-mu": Controller(_IMX_MU, _first_cell),
    "fsl,imx7ulp-mu": Controller(_IMX_MU, _first_cell),
    "fsl,imx8ulp-mu": Controller(_IMX_MU, _first_cell),
    "fsl,imx95-mu": Controller(_IMX_MU, _first_cell),
    "fsl,imx8ulp-mu-s4": Controller(_IMX_MU_FIRMWARE),
    "fsl,imx93-mu-s4": Controller(_IMX_MU_FIRMWARE),
    "fsl,imx95-mu-ele": Controller(_IMX_MU_FIRMWARE),
    "fsl,imx95-mu-v2x": Controller(_IMX_MU_FIRMWARE),
    "fsl,imx8-mu-scu": Controller(_IMX_MU_FIRMWARE),
    "fsl,imx8-mu-seco": Controller(_IMX_MU_FIRMWARE),
    "ti,omap2-mailbox": Controller(_OMAP_MAILBOX, _omap_mailbox_type),
    "ti,omap3-mailbox": Controller(_OMAP_MAILBOX, _omap_mailbox_type),
    "ti,omap4-mailbox": Controller(_OMAP_MAILBOX, _omap_mailbox_type),
    "ti,am654-mailbox": Controller(_OMAP_MAILBOX, _omap_mailbox_type),
    "ti,am64-mailbox": Controller(_OMAP_MAILBOX, _omap_mailbox_type),
    "ti,k2g-message-manager": Controller(_TI_MSGMGR),
    "ti,am654-secure-proxy": Controller(_TI_MSGMGR),
    "arm,mhu": Controller(_ARM_MHU),
    "amlogic,meson-gxbb-mhu": Controller(_ARM_MHU),
    "arm,mhu-doorbell": Controller(_ARM_MHU_DB),
    "arm,mhuv2-tx": Controller(_ARM_MHUV2_TX, _arm_mhuv2_type),
    "arm,mhuv2-rx": Controller(_ARM_MHUV2_RX, _arm_mhuv2_type),
    "arm,mhuv3": Controller(_ARM_MHUV3, _first_cell),
    "nvidia,tegra186-hsp": Controller(_TEGRA_HSP, _tegra_hsp_type),
    "nvidia,tegra194-hsp": Controller(_TEGRA_HSP, _tegra_hsp_type),
    "nvidia,tegra234-hsp": Controller(_TEGRA_HSP, _tegra_hsp_type),
    "nvidia,tegra264-hsp": Controller(_TEGRA_HSP, _tegra_hsp_type),
    "thead,th1520-mbox": Controller(_TH1520),
    "microchip,sbi-ipc": Controller(_MCHP_IPC),
    "sophgo,cv1800b-mailbox": Controller(_CV1800),
    "sprd,sc9860-mailbox": Controller(_SPRD),
    "sprd,sc9863a-mailbox": Controller(_SPRD),
    "sprd,ums9230-mailbox": Controller(_SPRD),
    "rockchip,rk3368-mailbox": Controller(_ROCKCHIP),
    "cix,sky1-mbox": Controller(_CIX, _cix_type),
    "axiado,ax3005-mailbox": Controller(_AXIADO),
    "qcom,ipcc": Controller(_QCOM_IPCC),
    "mediatek,mt8186-adsp-mbox": Controller(_MTK_ADSP),
    "mediatek,mt8195-adsp-mbox": Controller(_MTK_ADSP),
    "mediatek,mt6779-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8173-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8183-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8186-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8188-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8192-gce": Controller(_MTK_CMDQ),
    "mediatek,mt8195-gce": Controller(_MTK_CMDQ),
    "brcm,bcm2835-mbox": Controller(_BCM2835),
    "brcm,iproc-pdc-mbox": Controller(_BCM_DMA),
    "brcm,iproc-fa2-mbox": Controller(_BCM_DMA),
    "brcm,iproc-flexrm-mbox": Controller(_BCM_DMA),
    "brcm,bcm74110-mbox": Controller(_BCM74110),
    "allwinner,sun6i-a31-msgbox": Controller(_SUN6I),
    "st,stih407-mailbox": Controller(_STI),
    "altr,mailbox-1.0": Controller(_ALTERA),
    "hisilicon,hi6220-mbox": Controller(_HI6220),
    "hisilicon,hi3660-mbox": Controller(_HI3660),
    "aspeed,ast2700-mailbox": Controller(_AST2700),
    "apple,asc-mailbox-v4": Controller(_APPLE),
    "apple,m3-mailbox-v2": Controller(_APPLE),
}


def find(tree: Tree, path: str, specifier: tuple[int, ...]) -> Style | None:
    """Return what a channel of the controller at *path* expects; None if the table lacks it.

    Of several compatibles the first that the table has counts. The kernel takes that by which the
    driver matched, which a tree does not tell.
    """
    path = driver(tree, path)
    for compatible in tree.texts(path, "compatible"):
        if known := CONTROLLERS.get(compatible):
            return known.styles.get(known.type_of(tree, path, specifier))
    return None


def driver(tree: Tree, path: str) -> str:
    """Return the path of the node that the driver of the controller at *path* binds to.

    It is the node itself, or the one above it for the sub-nodes of an IPI agent
    (mailbox_controller_get() of the kernel module).
    """
    above = parent(path)
    return above if set(tree.texts(above, "compatible")) & IPI else path


def shown(specifier: tuple[int, ...]) -> str:
    """Return the specifier of a channel for a message, as device tree source has it."""
    return source_value(specifier)


def problems(tree: Tree, path: str, mailbox: Channels) -> Iterator[str]:
    """What the kernel module has against a link over channels of the controller at *path*.

    The specifiers have as many cells as the controller takes.
    """
    ways = [
        *(("kicks", each) for each in mailbox.tx),
        *(("notifications", each) for each in mailbox.rx),
    ]
    if mailbox.tx == mailbox.rx:
        ways = [("both", each) for each in mailbox.tx]
    found = [(way, channel, find(tree, path, channel)) for way, channel in ways]
    for way, channel, style in found:
        named = f"{shown(channel)}: " if channel else ""
        if style and style.refused:
            yield f"{named}{style.refused}"
        elif style and not style.serves(way):
            yield f"{named}can only be used for {style.way}"
    compatible = tree.texts(driver(tree, path), "compatible")
    lost = [channel for _, channel, style in found if not style]
    if lost and set(compatible) & CONTROLLERS.keys():
        yield from (f"{shown(each)}: is no channel that the kernel module knows" for each in lost)
    elif lost and not (mailbox.payload and mailbox.tx_done):
        names = ", ".join(compatible) or "no compatible"
        yield f"({names}) is not known to the kernel module: give payload and tx-done"
    usable = [(way, style) for way, _, style in found if style and not style.refused]
    dones = {style.tx_done for way, style in usable if way != "notifications"}
    if len(dones) > 1 or len({style.payload for _, style in usable} - {"none"}) > 1:
        yield "has channels that take messages of different forms"
    yield from _disagreements(mailbox, usable, every=len(usable) == len(found))
    if mailbox.payload_vectors > 1:
        yield from _vector_problems(mailbox, found[0][2] or Style())


def _disagreements(
    mailbox: Channels, known: list[tuple[str, Style]], *, every: bool
) -> Iterator[str]:
    """What the profile says otherwise than the table: mailbox_agrees() of the kernel module.

    *known* has the channels that the table knows and does not refuse; *every* if these are all.
    """
    payloads = {style.payload for _, style in known} - {"none"}
    if known and every:
        payloads = payloads or {"none"}
    if mailbox.payload and payloads - {mailbox.payload}:
        yield f"takes payload {min(payloads - {mailbox.payload})!r}, not {mailbox.payload!r}"
    for done in {
        style.tx_done for way, style in known if way != "notifications" and not style.polls
    }:
        if mailbox.tx_done not in ("", done):
            yield f"has tx-done {done!r}, not {mailbox.tx_done!r}"
    if mailbox.rx_ack and any(way != "kicks" and not style.rx_ack for way, style in known):
        yield "takes no acknowledgment: leave out rx-ack"


def _vector_problems(mailbox: Channels, style: Style) -> Iterator[str]:
    """Why the only channel of a link cannot carry several vectors, if it cannot."""
    payload, vectors = mailbox.payload or style.payload, mailbox.payload_vectors
    if payload == "none":
        yield f"has no payload, to carry {vectors} vectors in"
    elif payload == "u32-value" and vectors > VALUE_VECTORS:
        yield f"carries up to {VALUE_VECTORS} vectors, not {vectors}"
    elif mailbox.tx_done == "client" or (
        style.tx_done == "client" and not (style.polls or mailbox.tx_done)
    ):
        yield f"does not tell when the remote took a message, to carry {vectors} vectors in"
