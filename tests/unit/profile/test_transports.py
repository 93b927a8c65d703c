# SPDX-License-Identifier: BSD-3-Clause
"""The tables by which a link says how it is notified."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.profile import model, toml, transports, zynqmp
from rslctl.profile.model import NodeRef

from tests.unit.profile.support import DOORBELL, MAILBOX, PROFILE, parse

IPI = MAILBOX.replace("mailbox", "zynqmp-ipi") + "agent = 7\nremote = 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tx = [[0]]\nrx = [[1]]\n", ":11: link[0].mailbox.controller: is missing, expected a s"),
        ('controller = "mu"\n', "controller: 'mu' is not a node's label, path or both"),
        ('controller = "&mu"\n', "link[0].mailbox.tx: is missing, expected a list of lists"),
        ('controller = "&mu"\ntx = []\nrx = []\n', "mailbox.rx-tx: has 0 channels, expected 1"),
        ('controller = "&mu"\ntx = [[0]]\nrx = []\n', "rx: has 0 channels, but tx has 1"),
        ('controller = "&mu"\ntx = [[0]]\nrx = [[0, 1], 2]\n', "rx: 2 is not a list of lists"),
        ('controller = "&mu"\nrx-tx = [[0], [0]]\n', ":13: link[0].mailbox.rx-tx: has a channel"),
        ('controller = "&mu"\nrx-tx = [[0], [1]]\nvectors = 4\n', "vectors: is for one channel"),
        (
            'controller = "&mu"\nrx-tx = [[0]]\npayload = "u32"\n',
            "payload: 'u32' is not one of 'none', 'u32-pointer', 'u32-value', 'zynqmp', 'buffer'",
        ),
        (
            'controller = "&mu"\nrx-tx = [[0]]\ntx-done = "irq"\n',
            "tx-done: 'irq' is not one of 'controller', 'client'",
        ),
        ('controller = "&mu"\nfifos = [3, 4]\npayload = "none"\n', "payload: is not known here"),
        ('controller = "&mu"\nfifos = [3, 4]\ninterrupt = 4\n', "interrupt: 0x4 is not between"),
        ('controller = "&mu"\nfifos = [3]\n', "fifos: [3] is not two FIFOs"),
        ('controller = "&mu"\nfifos = [3, 16]\n', "fifos: 0x10 is not between 0x0 and 0xf"),
    ],
)
def test_a_mistake_in_a_mailbox_is_named(text: str, message: str) -> None:
    with pytest.raises(RslError) as error:
        parse(MAILBOX + text)
    assert message in str(error.value)


@pytest.mark.parametrize(("key", "index"), [("", None), ("interrupt = 2\n", 2)])
def test_the_interrupt_of_fifos_is_the_bases_unless_it_is_given(
    key: str, index: int | None
) -> None:
    made = parse(f'{MAILBOX}controller = "&mu"\nfifos = [3, 4]\nuser = 1\n{key}').links[0].by
    assert made == model.Fifos(NodeRef("mu"), 3, 4, 1, 0, index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent = 0\nremote = 1\n", "agent: 0 is not one of 7 (PL0), 8 (PL1), 9 (PL2), 10 (PL3)"),
        ("agent = 7\nremote = 3\n", "remote: 3 is not one of 1 (RPU0), 2 (RPU1), 7 (PL0)"),
        ("agent = 7\nremote = 7\n", "remote: 7 is Linux's own agent"),
        ("agent = 7\n", "remote: is missing, expected an integer"),
    ],
)
def test_a_mistake_in_ipi_agents_is_named(text: str, message: str) -> None:
    with pytest.raises(RslError) as error:
        parse(MAILBOX.replace("mailbox", "zynqmp-ipi") + text)
    assert message in str(error.value)


def test_a_link_that_offers_nothing_is_refused() -> None:
    with pytest.raises(RslError, match=r":4: link\[0\]: has no way to notify: expected a table"):
        parse(PROFILE[: PROFILE.index("[link.doorbell]")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[90, 91]", "[90]", ""),
        ("status-masks = [1, 2]\n", "", "status-masks: has 0 masks, expected one per vector"),
        ("0x10", "0x20", "status-offset: 0x20 is not a 32-bit register in 32 bytes"),
        ("0x10", "0x11", "status-offset: 0x11 is not a 32-bit register in 32 bytes"),
        ("status-offset", "clear-offset", "status-offset: is missing, which the other registers"),
    ],
)
def test_registers_for_level_interrupts(old: str, new: str, message: str) -> None:
    try:
        parse(DOORBELL.replace(old, new))
    except RslError as error:
        assert message
        assert message in str(error)
    else:
        assert not message


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("&mu", model.NodeRef("mu")),
        ("/", model.NodeRef("", ("/",))),
        ("/a/b@1 &mu /c,d", model.NodeRef("mu", ("/a/b@1", "/c,d"))),
    ],
)
def test_a_node_is_a_label_or_paths_or_both(text: str, node: model.NodeRef) -> None:
    document = toml.read(f"node = '{text}'", "x.toml")
    table = toml.Table(document, (), document.values)
    assert transports.node_ref(table, "node", text) == node


@pytest.mark.parametrize("text", ["", " ", "mu", "&mu &mv", "&1", "/a//b", "/a/", "a/b", "&"])
def test_what_is_no_node_is_named(text: str) -> None:
    table = toml.Table(toml.read("", "x.toml"), (), {})
    with pytest.raises(RslError, match=r"^x\.toml:1: node: .* is not a node's label, path or both"):
        transports.node_ref(table, "node", text)


def test_ipi_agents_can_be_driven_as_a_doorbell_too() -> None:
    link = parse(IPI).links[0]
    doorbell = link.offers["doorbell"]
    assert isinstance(doorbell, model.Doorbell)
    pl0, rpu0 = zynqmp.AGENTS[7], zynqmp.AGENTS[1]
    assert (doorbell.register, doorbell.kick_values) == (pl0.registers, (rpu0.bit,))
    assert (doorbell.spis, doorbell.status_masks) == ((pl0.spi,), (rpu0.bit,))
    interrupts = (rpu0.spi + 32,)
    register = rpu0.registers + zynqmp.TRIG
    remote = model.RemoteSide(register, (pl0.bit,), interrupts, "zynqmp-r5-0")
    assert link.remote == remote


def test_a_mailbox_goes_before_what_agents_offer() -> None:
    link = parse(f"{IPI}[link.mailbox]\ncontroller = '&mu'\nrx-tx = [[3]]\n").links[0]
    assert link.offers["mailbox"] == model.Channels(model.NodeRef("mu"), ((3,),), ((3,),))
    assert link.remote is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("register = 4\n", "link[0].remote.notify-values: goes with register, and register with"),
        ("notify-values = [1]\n", "notify-values: goes with register, and register with it"),
        ("register = 4\nnotify-values = [1, 2, 3]\n", "notify-values has 3 values, the link has 2"),
        ("interrupts = [1, 2, 3]\n", "link[0].remote: interrupts has 3 values, the link has 2 v"),
    ],
)
def test_a_mistake_in_the_remotes_side_is_named(text: str, message: str) -> None:
    with pytest.raises(RslError) as error:
        parse(f"{PROFILE}[link.remote]\n{text}")
    assert message in str(error.value)
