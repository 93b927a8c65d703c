# SPDX-License-Identifier: BSD-3-Clause
"""The table of mailbox controllers: rslctl's and the kernel module's are the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rslctl.devicetree import mailbox_styles
from rslctl.devicetree.mailbox_styles import CONTROLLERS, Style
from rslctl.devicetree.tree import Tree
from rslctl.profile import model
from rslctl.profile.model import Channels, NodeRef

from tests.unit import REPOSITORY

MODULE = REPOSITORY / "kmod/rsl_mbox"
TABLE = (MODULE / "mailbox_styles.c").read_text()
KICKS = 0x80000000

ARRAY = r"^static const struct mailbox_row (\w+)\[\] = \{\n(.*?)^\};"
ROW = r'\{ ([\w |]+), (?:NULL, \{ ([^}]*?) \}|("[^"]*")) \},'
KNOWN = r'^\t\{ "([^"]+)", (NULL|"[^"]+"), (\w+), (\w+),\s+ARRAY_SIZE\(\4\) \},$'


def listed(name: str) -> dict[str, str]:
    """The texts of an array of names by enumerator, from the module."""
    found = re.search(rf"\b{name}\[\] = \{{\n(.*?)\tNULL\n", TABLE, re.DOTALL)
    assert found
    return dict(re.findall(r'\[(\w+)\] = "([^"]+)",', found[1]))


PAYLOADS = listed("mailbox_payload_names")
TX_DONE = listed("mailbox_tx_done_names")
WAYS = listed("mailbox_way_names")


def type_of(text: str) -> int:
    return sum(int(part.replace("TYPE_KICKS", hex(KICKS)), 0) for part in text.split(" | "))


def style_of(text: str, refused: str) -> Style:
    """The style of a row: PAYLOAD_..., TX_DONE_..., perhaps a way, then flags by name."""
    if refused:
        return Style(refused=refused.strip('"'))
    payload, tx_done, *others = (part.strip() for part in text.split(","))
    style = Style(PAYLOADS[payload], TX_DONE[tx_done])
    for each in others:
        if each in WAYS:
            style = replace(style, way=WAYS[each])
        elif each == ".rx_ack = true":
            style = replace(style, rx_ack=True)
        elif each == ".polls = true":
            style = replace(style, polls=True)
        else:
            # How the module frees a channel and when it sends is nothing that rslctl has to know.
            flags = ("hold_irq", "rx_locked", "refuses", "used_up")
            assert each in [f".{flag} = true" for flag in flags]
    return style


def module_table() -> dict[str, dict[int, Style]]:
    arrays = re.findall(ARRAY, TABLE, re.MULTILINE | re.DOTALL)
    rows = {
        name: {type_of(kind): style_of(*row) for kind, *row in re.findall(ROW, body)}
        for name, body in arrays
    }
    for name, body in arrays:
        assert len(rows[name]) == body.count("\t{ ") > 0
    known = re.findall(KNOWN, TABLE, re.MULTILINE)
    assert len(known) == len(re.findall(r"^\t\{ \"", TABLE, re.MULTILINE))
    assert {row[3] for row in known} == set(rows)
    return {compatible: rows[array] for compatible, _, _, array in known}


def test_rslctl_has_every_row_of_the_module_and_no_other() -> None:
    assert {name: each.styles for name, each in CONTROLLERS.items()} == module_table()


def test_both_find_the_type_of_a_channel_in_the_same_way() -> None:
    rules = {row[0]: row[2] for row in re.findall(KNOWN, TABLE, re.MULTILINE)}
    for name, each in CONTROLLERS.items():
        own = each.type_of.__name__.strip("_")
        assert rules[name] == own.replace("no_type", "NULL")


def test_the_names_are_those_of_profiles_and_of_the_binding() -> None:
    binding = (REPOSITORY / "dt-overlays/bindings/mailbox/rsl,mbox-client.yaml").read_text()
    assert tuple(PAYLOADS.values()) == model.PAYLOADS
    assert tuple(TX_DONE.values()) == model.TX_DONE
    for names in (model.PAYLOADS, model.TX_DONE):
        assert f"enum: [ {', '.join(names)} ]" in binding


def cells(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def problems(
    compatible: str, channels: Channels, properties: dict[str, bytes] | None = None
) -> list[str]:
    """What is said of a link over a controller with these properties."""
    names = b"".join(f"{each}\0".encode() for each in compatible.split())
    nodes = {
        "/c": {"compatible": names, **(properties or {})},
        "/quiet": {"phandle": cells(5), "ti,mbox-send-noirq": b""},
    }
    return list(mailbox_styles.problems(Tree("tree", nodes), "/c", channels))


def link(tx: tuple[int, ...], rx: tuple[int, ...], vectors: int = 0) -> Channels:
    return Channels(NodeRef("", ("/c",)), (tx,), (rx,), vectors)


UNKNOWN = "(vendor,x) is not known to the kernel module: give payload and tx-done"


def test_an_unknown_controller_has_to_be_described() -> None:
    silent = link((0,), (1,))
    half = replace(silent, payload="none")
    assert problems("vendor,x", silent) == problems("vendor,x", half) == [UNKNOWN]
    assert problems("vendor,x", replace(half, tx_done="client")) == []


def test_a_refused_controller_is_refused_whatever_the_profile_says() -> None:
    said = replace(link((0,), (1,)), payload="none", tx_done="client")
    reason = "speaks the protocol of NXP's firmware, use an MU that is the remote's"
    assert problems("fsl,imx95-mu-ele", said) == [f"<0>: {reason}", f"<1>: {reason}"]


@pytest.mark.parametrize(
    ("compatible", "channels", "properties", "message"),
    [
        # A fallback is looked up if the table has nothing better.
        ("fsl,imx8mp-mu fsl,imx6sx-mu", link((4, 0), (3, 0)), {}, "<4 0>: channel type 4 resets"),
        # The windows of an MHUv2: two of doorbells, then three for data, which are one channel.
        (
            "arm,mhuv2-tx arm,primecell",
            link((1, 0), (1, 0), 8),
            {"arm,mhuv2-protocols": cells(0, 2, 1, 3)},
            "has no payload, to carry 8 vectors",
        ),
        ("nvidia,tegra234-hsp", link((1, KICKS), (1, 1), 32), {}, "carries up to 31 vectors"),
        ("nvidia,tegra234-hsp", link((1, 0), (1, 1)), {}, "<1 0>: can only be used for notifica"),
        ("nvidia,tegra234-hsp", link((0, 3), (0, 3), 2), {}, "has no payload, to carry 2 vect"),
        (
            "cix,sky1-mbox",
            link((3,), (3,)),
            {"cix,mbox-dir": b"tx\0"},
            "<3>: the driver never reports that channels 0 to 7 sent, use channel 8",
        ),
        ("sophgo,cv1800b-mailbox", link((0, 1), (1, 1), 2), {}, "does not tell when the remote"),
        ("ti,am64-mailbox", link((5,), (5,), 2), {}, "does not tell when the remote took a mes"),
        ("qcom,ipcc", link((0, 1), (1, 1)), {}, "<1 1>: can only be used for kicks"),
        (
            "st,stm32mp1-ipcc",
            replace(link((0,), (1,)), tx_done="client"),
            {},
            "has tx-done 'controller', not 'client'",
        ),
        (
            "qcom,ipcc",
            replace(link((0, 1), (1, 1)), tx_done="controller"),
            {},
            "has tx-done 'client', not 'controller'",
        ),
        (
            "ti,am64-mailbox",
            replace(link((6,), (6,)), payload="u32-pointer"),
            {},
            "takes payload 'u32-value', not 'u32-pointer'",
        ),
        (
            "st,stm32mp1-ipcc",
            replace(link((0,), (1,)), payload="u32-pointer"),
            {},
            "takes payload 'none', not 'u32-pointer'",
        ),
        ("arm,mhu", replace(link((0,), (1,)), rx_ack=True), {}, "takes no acknowledgment"),
    ],
)
def test_what_the_module_refuses_is_told(
    compatible: str, channels: Channels, properties: dict[str, bytes], message: str
) -> None:
    assert [each for each in problems(compatible, channels, properties) if message in each]


@pytest.mark.parametrize(
    ("compatible", "channels", "properties"),
    [
        ("fsl,imx93-mu fsl,imx8ulp-mu", link((0, 0), (1, 0), 32), {}),
        ("arm,mhuv2-tx", link((2, 0), (2, 0), 8), {"arm,mhuv2-protocols": cells(0, 2, 1, 3)}),
        ("nvidia,tegra264-hsp", link((0x101, KICKS), (0x101, 1), 32), {}),
        ("cix,sky1-mbox", link((3,), (8,)), {"cix,mbox-dir": b"rx\0"}),
        ("microchip,sbi-ipc", link((0,), (1,), 32), {}),
        ("ti,am64-mailbox", link((6,), (6,), 31), {}),
        # What the sub-node of the notifications says of sending does not matter.
        ("ti,am64-mailbox", link((6,), (5,)), {}),
        ("arm,mhu", replace(link((0,), (1,)), tx_done="client"), {}),
    ],
)
def test_what_the_module_takes_is_not(
    compatible: str, channels: Channels, properties: dict[str, bytes]
) -> None:
    refused = [
        each
        for each in problems(compatible, channels, properties)
        # Of a controller for one direction this link has both ends.
        if "can only be used for" not in each
    ]
    assert refused == []


@pytest.mark.parametrize(
    "compatible",
    ["altr,mailbox-1.0", "allwinner,sun6i-a31-msgbox", "hisilicon,hi6220-mbox", "arm,mhuv3"],
)
def test_a_channel_of_one_direction_is_not_used_both_ways(compatible: str) -> None:
    refused = ["<0 0>: can only be used for one direction"]
    assert problems(compatible, link((0, 0), (0, 0))) == refused
    assert problems(compatible, link((0, 0), (0, 1))) == []
