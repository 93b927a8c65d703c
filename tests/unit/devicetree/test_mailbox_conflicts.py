# SPDX-License-Identifier: BSD-3-Clause
"""What is against a link's mailbox in a base, and what is only to be said."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.devicetree import overlay, tree
from rslctl.devicetree.tree import Tree
from rslctl.errors import SeveralError
from rslctl.profile import model
from rslctl.profile.model import NodeRef

from tests.unit.devicetree.bases import CHANNELS, CLUSTER, DOORBELL, IPI, Base, problems, profile
from tests.unit.programs import needs_dtc

#: The mailbox of am335x-boneblack.dtb: the remote of mbox-wkup-m3 is user 3.
BONE = (
    'bone: bone { compatible = "ti,omap4-mailbox"; #mbox-cells = <1>; interrupts = <0 77 4>; '
    "ti,mbox-num-users = <4>; ti,mbox-num-fifos = <8>; mbox-wkup-m3 { ti,mbox-send-noirq; "
    "ti,mbox-tx = <0 0 0>; ti,mbox-rx = <0 0 3>; }; };"
)
#: The mailbox of am57xx-beagle-x15.dtb: Linux is user 2, with the third of four interrupts.
X15 = (
    'x15: x15 { compatible = "ti,omap4-mailbox"; #mbox-cells = <1>; interrupts = <0 249 4>, '
    "<0 250 4>, <0 251 4>, <0 252 4>; ti,mbox-num-users = <4>; ti,mbox-num-fifos = <12>; "
    "mbox-ipu1 { ti,mbox-tx = <6 2 2>; ti,mbox-rx = <4 2 2>; }; "
    'mbox-dsp1 { ti,mbox-tx = <5 2 2>; ti,mbox-rx = <1 2 2>; status = "disabled"; }; };'
)


def made(link: model.Transport, base: Base, kernel: str = "") -> tuple[Tree, tuple[str, ...]]:
    """The base with the link's overlay, and what was said."""
    blob = base.blob()
    fitted = overlay.for_base(profile(link), "rsl", tree.from_blob(blob, "base", kernel))
    return tree.from_blob(overlay.merge(fitted, blob), "merged"), fitted.notes


def on(name: str, tx: int, rx: int, user: int, interrupt: int | None = None) -> model.Fifos:
    return model.Fifos(NodeRef("", (f"/{name}",)), tx, rx, user, 0, interrupt)


@needs_dtc
@pytest.mark.parametrize(("user", "said"), [(0, 0), (3, 1)])
def test_a_user_is_one_of_a_direction(user: int, said: int) -> None:
    merged, notes = made(on("bone", 2, 3, user), Base(extra=BONE))
    assert merged.cells("/bone/mbox-rsl-r0", "ti,mbox-rx") == (3, 0, user)
    assert len(notes) == said
    assert all("user 3 is the remote's in /bone/mbox-wkup-m3, which borrows" in n for n in notes)


@needs_dtc
def test_the_index_of_the_interrupt_is_read_from_the_base() -> None:
    merged, notes = made(on("x15", 8, 9, 2), Base(extra=X15))
    assert merged.cells("/x15/mbox-rsl-r0", "ti,mbox-tx") == (8, 2, 2)
    assert merged.cells("/x15/mbox-rsl-r0", "ti,mbox-rx") == (9, 2, 2)
    assert notes == ()


@needs_dtc
def test_a_machine_that_runs_with_it_has_the_same_index() -> None:
    link = on("x15", 8, 9, 2)
    merged, _ = made(link, Base(extra=X15))
    assert overlay.unlike(profile(link), merged) == []


@needs_dtc
def test_fifos_of_a_disabled_sub_node_are_free() -> None:
    assert problems(profile(on("x15", 5, 1, 2)), Base(extra=X15)) == []
    assert problems(profile(on("x15", 6, 1, 2)), Base(extra=X15)) == [
        "channel: r0: FIFO 6 of /x15 is used by /x15/mbox-ipu1"
    ]


@needs_dtc
@pytest.mark.parametrize(
    ("link", "base", "expected"),
    [
        (on("x15", 8, 9, 0), X15, "channel: r0: user 0 is not Linux, which is 2 in /x15/mbox-ipu1"),
        (on("bone", 2, 3, 1), BONE, "channel: r0: user 1 is not Linux, which is 0 in /bone/mbox-w"),
        (on("x15", 12, 9, 2), X15, "channel: r0: /x15 has 12 FIFOs, there is no 12"),
        (on("x15", 8, 9, 2, 4), X15, "channel: r0: /x15 has 4 interrupts, there is no number 4 f"),
        (
            on("none", 0, 1, 0),
            'none: none { compatible = "ti,am654-mailbox"; #mbox-cells = <1>; };',
            "channel: r0: /none has 0 interrupts, there is no number 0 for user 0",
        ),
        (
            on("off/c", 0, 1, 0),
            'off { status = "disabled"; c: c { compatible = "ti,am654-mailbox"; '
            "#mbox-cells = <1>; interrupts = <0 9 4>; }; };",
            "channel: r0: /off/c is disabled, and the profile does not enable it",
        ),
        (
            model.Channels(NodeRef("", ("/ipcc",)), ((6,),), ((0,),)),
            'ipcc: ipcc { compatible = "st,stm32mp1-ipcc"; #mbox-cells = <1>; }; ',
            "",
        ),
        (
            model.Channels(NodeRef("", ("/ipcc",)), ((16,),), ((0,),)),
            'ipcc: ipcc { compatible = "st,stm32mp1-ipcc"; #mbox-cells = <1>; }; ',
            "channel: r0: <16>: /ipcc has no such channel, it has <0 to 15>",
        ),
        (
            model.Channels(NodeRef("", ("/hsp",)), ((1, 0x80000002),), ((1, 2),)),
            'hsp: hsp { compatible = "nvidia,tegra234-hsp"; #mbox-cells = <2>; }; ',
            "channel: r0: <1 2> of /hsp is the channel <1 0x80000002> of link r0",
        ),
        # imx8qm-apalis-eval.dtb: the MU of the SCU, which has an MU's compatible as well.
        (
            model.Channels(NodeRef("", ("/scu",)), ((2, 0),), ((3, 0),)),
            'scu: scu { compatible = "fsl,imx8-mu-scu", "fsl,imx8qm-mu", "fsl,imx6sx-mu"; '
            "#mbox-cells = <2>; };",
            "channel: r0: /scu <2 0>: speaks the protocol of NXP's firmware, use an MU that is",
        ),
        # k3-am67a-beagley-ai.dtb: the secure proxy.
        (
            model.Channels(NodeRef("", ("/proxy",)), ((20,),), ((21,),)),
            'proxy: proxy { compatible = "ti,am654-secure-proxy"; #mbox-cells = <1>; };',
            "channel: r0: /proxy <20>: speaks the protocol of TI's firmware, use a mailbox cluster",
        ),
        # mpfs-icicle-kit.dtb: the module knows the driver, and sends it what it takes.
        (
            model.Channels(NodeRef("", ("/ihc",)), ((4,),), ((4,),)),
            'ihc: ihc { compatible = "microchip,sbi-ipc"; #mbox-cells = <1>; };',
            "",
        ),
    ],
)
def test_a_mailbox_fits_or_it_is_told_why_not(
    link: model.Mailbox, base: str, expected: str
) -> None:
    found = problems(profile(link), Base(extra=base))
    assert [each for each in found if each.startswith(expected)] if expected else found == []


@needs_dtc
def test_an_interrupt_that_the_base_does_not_tell_is_said_and_can_be_given() -> None:
    link = dataclasses.replace(on("", 4, 5, 3), controller=NodeRef("", (CLUSTER,)))
    base = Base()
    text = base.text().replace("mbox-other { ti,mbox-tx = <0 0 2>; ti,mbox-rx = <1 0 2>; };", "")
    assert text != base.text()
    blob = tree.from_blob(_dtc(text), "base")
    (note,) = overlay.for_base(profile(link), "rsl", blob).notes
    assert "which of the 2 interrupts of /soc/mailbox@2000 is that of user 3 is not known" in note
    given = dataclasses.replace(link, interrupt=1)
    fitted = overlay.for_base(profile(given), "rsl", blob)
    assert fitted.notes == ()
    assert ("ti,mbox-rx", (5, 1, 3)) in fitted.fragments[1].body.children[0].properties


def _dtc(text: str) -> bytes:
    class Text(Base):
        def text(self) -> str:
            return text

    return Text().blob()


@needs_dtc
def test_a_channel_is_used_twice_whatever_the_links_call_its_controller() -> None:
    other = dataclasses.replace(CHANNELS, controller=NodeRef("", CHANNELS.controller.paths))
    found = problems(profile(CHANNELS, other), Base(symbols=True))
    assert "channel: r1: <2 0> of /soc/mailbox@1000 is used by link r0" in found


#: The node of OpenAMP's own overlay for the ZCU102, with two remotes.
TWO = 'two: two { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <0>; a { }; b { }; };'


@needs_dtc
@pytest.mark.parametrize(
    ("kernel", "refused", "noted"),
    [
        ("", False, True),
        ("6.12.117+deb12-arm64", True, False),
        ("6.13.0", False, False),
        ("7.2.13+deb14-arm64", False, False),
    ],
)
def test_two_remotes_of_an_agent_crash_only_old_kernels(
    kernel: str, refused: bool, noted: bool
) -> None:
    text = "zynqmp: /two has 2 remotes: Linux before 6.13 crashes on more than one under a parent"
    try:
        _, notes = made(IPI, Base(extra=TWO), kernel)
    except SeveralError as error:
        assert error.messages == [f"base: {text}, and the base is of {kernel}"]
        assert refused
    else:
        assert not refused
        assert notes == ((f"base: {text}",) if noted else ())


@needs_dtc
def test_a_doorbell_does_not_need_the_driver_that_crashes() -> None:
    assert made(DOORBELL, Base(extra=TWO), "6.12.1")[1] == ()


@needs_dtc
def test_channels_of_an_agents_sub_node_are_those_of_its_driver() -> None:
    extra = (
        'ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <0>; '
        "rpu: mailbox { #mbox-cells = <1>; xlnx,ipi-id = <1>; }; };"
    )
    link = model.Channels(NodeRef("", ("/ipi/mailbox",)), ((0,),), ((1,),))
    assert problems(profile(link), Base(extra=extra)) == []
    wrong = dataclasses.replace(link, rx=((2,),))
    assert problems(profile(wrong), Base(extra=extra)) == [
        "channel: r0: <2>: /ipi/mailbox has no such channel, it has <0 to 1>",
        "channel: r0: /ipi/mailbox <2>: is no channel that the kernel module knows",
    ]
    swapped = dataclasses.replace(link, tx=((1,),), rx=((0,),))
    assert problems(profile(swapped), Base(extra=extra)) == [
        "channel: r0: /ipi/mailbox <1>: can only be used for notifications",
        "channel: r0: /ipi/mailbox <0>: can only be used for kicks",
    ]
