# SPDX-License-Identifier: BSD-3-Clause
"""What stands between an overlay and its base: each check, and all in one run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.devicetree import overlay, tree
from rslctl.devicetree.nodes import to_blob, to_source
from rslctl.errors import RslError, SeveralError
from rslctl.profile import model, reader
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.command_line import Rslctl
from tests.unit.devicetree.bases import (
    CHANNELS,
    DOORBELL,
    FIFOS,
    IPI,
    RAM,
    Base,
    problems,
    profile,
)
from tests.unit.devicetree.support import BASE, dtc, merged_with, problems_on
from tests.unit.programs import needs_dtc


@needs_dtc
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("v2m@", "its@", "label: there is no node /intc@8000000/v2m@8020000; near it: /intc@8000"),
        ('"linux,dummy-virt"', '"x,y"', "compatible: it is for x,y, board 'qemu-virt' is linux,du"),
        ("0x40000000 0 0x40000000", "0 0 0x100000", "ram: rpu0: memory at 0x70000000, 0x1000000 b"),
        ("// more", "dev@70fff000 { reg = <0 0x70fff000 0 4>; };", "overlap: rpu0: memory at 0x7"),
        ("// more", "/memreserve/", "overlap: rpu0: firmware at 0x50000000, 0x200000 bytes, over"),
        (
            "// more",
            "chosen { linux,initrd-start = <0x70800000>; linux,initrd-end = <0x70900000>; };",
            "overlap: rpu0: memory at 0x70000000, 0x1000000 bytes, overlaps /chosen (the initrd)",
        ),
        ("// more", "dev { interrupts = <0 81 4>; };", "interrupt: rpu0: SPI 81 is used by /dev"),
        ("interrupt-parent = <0x8002>;", "", "interrupt: / has no interrupt-parent, so the profi"),
        ("#interrupt-cells = <3>", "#interrupt-cells = <5>", "interrupt: /intc@8000000 is no in"),
        ("arm,cortex-a15-gic", "x,pinctrl", "interrupt: /intc@8000000 (x,pinctrl) takes 3 cells"),
        (
            "// more",
            "rsl-mbox@8020040 { reg = <0 0x8020040 0 4>; };",
            "node: it has /rsl-mbox@8020040 already, which is not the overlay's: choose another ad",
        ),
        ("// more", "dev@8020040 { reg = <0 0x8020040 0 4>; };", "register: rpu0: doorbell at 0x"),
    ],
)
def test_what_stands_between_overlay_and_base_is_named(old: str, new: str, expected: str) -> None:
    text = BASE.replace(old, new)
    if new == "/memreserve/":
        text = BASE.replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x50000000 0x1000;")
    assert problems_on(BASE) == []
    assert [each for each in problems_on(text) if each.startswith(expected)]


@needs_dtc
def test_a_disabled_user_is_none() -> None:
    for node in (
        'dev { interrupts = <0 81 4>; status = "disabled"; };',
        'dev@70fff000 { reg = <0 0x70fff000 0 4>; status = "disabled"; };',
    ):
        assert problems_on(BASE.replace("// more", node)) == []


@needs_dtc
def test_all_problems_are_told_in_one_run(tmp_path: Path, rslctl: Rslctl) -> None:
    text = BASE.replace("// more", "dev@70000000 { reg = <0 0x70000000 0 4>; };")
    text = text.replace("v2m@", "its@").replace('"linux,dummy-virt"', '"x,y"')
    assert {each.split(":")[0] for each in problems_on(text)} == {
        *("compatible", "label", "overlap", "register")
    }
    (tmp_path / "base.dtb").write_bytes(dtc(text))
    out = tmp_path / "out.dtb"
    status, _, err = rslctl(
        *("overlay", "--board", "qemu-virt", "--base", tmp_path / "base.dtb", "--merge", out)
    )
    assert status == 1
    assert err.count("rslctl: ") == len(err.splitlines()) == len(problems_on(text))
    assert not out.exists()


@needs_dtc
def test_an_overlay_that_is_there_already_is_told() -> None:
    twice = tree.from_blob(merged_with(dtc(BASE)), "base")
    with pytest.raises(SeveralError, match="node: it has /rsl-mbox@8020040 already"):
        overlay.for_base(reader.load("qemu-virt"), "rsl", twice)


MEMORY_THAT_IS_OFF = (
    'memory@50000000 { device_type = "memory"; reg = <0 0x50000000 0 0x1000000>; '
    'status = "disabled"; };'
)


@needs_dtc
@pytest.mark.parametrize(
    ("made", "base", "expected"),
    [
        (profile(CHANNELS), Base(disabled=True), "channel: r0: /soc/mailbox@1000 is disabled, and"),
        (
            profile(dataclasses.replace(CHANNELS, rx=((3, 3), (3, 1)))),
            Base(used=True),
            "channel: r0: <3 3> of /soc/mailbox@1000 is used by /user",
        ),
        (
            profile(dataclasses.replace(CHANNELS, tx=((2,), (1,)))),
            Base(),
            "channel: r0: <2> has 1 cells, /soc/mailbox@1000 takes 2",
        ),
        (
            profile(CHANNELS, CHANNELS),
            Base(),
            "channel: r1: <2 0> of /soc/mailbox@1000 is used by link r0",
        ),
        (
            profile(dataclasses.replace(FIFOS, tx=1)),
            Base(),
            "channel: r0: FIFO 1 of /soc/mailbox@2000 is used by /soc/mailbox@2000/mbox-other",
        ),
        (
            profile(dataclasses.replace(FIFOS, controller=NodeRef("clustre"))),
            Base(symbols=True),
            "label: there is no node &clustre; near it: cluster",
        ),
        (
            profile(dataclasses.replace(FIFOS, controller=NodeRef("cluster"))),
            Base(),
            "label: there is no node &cluster; it has no labels (__symbols__), so the profile",
        ),
        (
            profile(IPI),
            Base(extra='ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <7>; };'),
            "agent: r0: IPI agent 7 is that of /ipi, use another of 7, 8, 9, 10",
        ),
        (
            profile(IPI),
            Base(
                extra='ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <0>; '
                "interrupts = <0 77 4>; };"
            ),
            "agent: /ipi says that IPI agent 0 has SPI 77, on a ZynqMP it has 35",
        ),
        (
            profile(FIFOS, dataclasses.replace(FIFOS, tx=5, rx=4)),
            Base(),
            "channel: r1: FIFO 4 of /soc/mailbox@2000 is used by link r0",
        ),
        (
            profile(dataclasses.replace(FIFOS, user=1)),
            Base(),
            "channel: r0: user 1 is not Linux, which is 2 in /soc/mailbox@2000/mbox-other",
        ),
        (
            profile(IPI, model.Ipi(8, 7)),
            Base(),
            "agent: r1: remote 7 is an agent of Linux's",
        ),
        (
            profile(DOORBELL),
            Base(
                extra="pci { #address-cells = <3>; #interrupt-cells = <1>; "
                "interrupt-map = <0 0 0 1 &gic 0 9 4>, <0 0 0 2 &gic 0 41 4>; };"
            ),
            "interrupt: r0: SPI 41 is used by /pci",
        ),
        (
            profile(DOORBELL),
            Base(
                extra="gpc: gpc { interrupt-controller; #interrupt-cells = <3>; }; "
                "serial { interrupt-parent = <&gpc>; interrupts = <0 40 4>; };"
            ),
            "interrupt: r0: SPI 40 is used by /serial",
        ),
        (
            dataclasses.replace(profile(DOORBELL), enable=(NodeRef(paths=("/can",)),)),
            Base(extra='can { status = "disabled"; interrupts = <0 40 4>; };'),
            "interrupt: r0: SPI 40 is used by /can",
        ),
        (
            profile(dataclasses.replace(DOORBELL, register=0x50000004)),
            Base(),
            "register: r0: doorbell at 0x50000004 is in memory",
        ),
        (
            profile(DOORBELL),
            Base(ram=Region(0, 0x1000), extra=MEMORY_THAT_IS_OFF),
            "ram: r0: memory at 0x50000000, 0x100000 bytes, is outside RAM",
        ),
        (
            profile(IPI),
            Base(
                extra='ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <1>; '
                "interrupts; };"
            ),
            "agent: r0: remote 1 is the agent of /ipi, Linux's own",
        ),
        (
            profile(DOORBELL),
            Base(extra="last { phandle = <0xfffffffe>; };"),
            "phandle: 0xfffffffe is used, the overlay needs larger ones",
        ),
        (profile(IPI), Base(spi=29), "interrupt: r0: SPI 29 is used by /other"),
        (profile(DOORBELL, DOORBELL), Base(), "interrupt: r1: SPI 40 is used by link r0"),
    ],
)
def test_a_conflict_is_named(made: model.Board, base: Base, expected: str) -> None:
    found = problems(made, base)
    assert [each for each in found if each.startswith(expected)], found


@needs_dtc
@pytest.mark.parametrize(
    ("made", "base"),
    [
        # What the profile disables is free.
        (
            dataclasses.replace(profile(CHANNELS), disable=(NodeRef(paths=("/dev",)),)),
            Base(extra="dev { mboxes = <&mu 2 0>; };"),
        ),
        (
            dataclasses.replace(profile(DOORBELL), disable=(NodeRef(paths=("/dev",)),)),
            Base(taken=None, extra="dev { interrupts = <0 40 4>; };"),
        ),
        # What it enables is there.
        (
            dataclasses.replace(profile(CHANNELS), enable=(CHANNELS.controller,)),
            Base(disabled=True),
        ),
    ],
)
def test_the_base_is_seen_as_the_profile_changes_it(made: model.Board, base: Base) -> None:
    assert problems(made, base) == []


@needs_dtc
def test_an_mu_has_four_channels_of_each_type() -> None:
    mu = Base(extra='mu2: mu2 { compatible = "fsl,imx6sx-mu"; #mbox-cells = <2>; };')
    wrong = model.Channels(
        NodeRef("", ("/mu2",)), ((2, 3), (3, 1), (5, 0)), ((3, 4), (3, 0), (4, 0))
    )
    assert problems(profile(wrong), mu) == [
        "channel: r0: <3 4>: /mu2 has no such channel, it has <0 to 5 0 to 3>",
        "channel: r0: /mu2 <3 1>: can only be used for notifications",
        "channel: r0: /mu2 <5 0>: channel type 5 waits for the remote with interrupts off, use "
        "type 2",
        "channel: r0: /mu2 <4 0>: channel type 4 resets the unit, use types 0 to 3",
    ]


@needs_dtc
def test_an_overlay_and_a_fit_image_are_no_base() -> None:
    blob = tree.from_blob(to_blob(overlay.build(profile(CHANNELS))), "base")
    with pytest.raises(RslError, match=r"base: is an overlay \(\.dtbo\), and no base") as error:
        overlay.for_base(profile(CHANNELS), "rsl", blob)
    assert "fdtoverlay" in error.value.hint
    fit = "/dts-v1/; / { images { fdt-1 { }; }; configurations { conf-1 { }; }; };"
    with pytest.raises(RslError, match="base: is a FIT image, which contains") as error:
        overlay.for_base(profile(CHANNELS), "rsl", tree.from_blob(dtc(fit), "base"))
    assert "dumpimage" in error.value.hint


def reserved(text: str, ram: Region = RAM) -> Base:
    class Other(Base):
        def text(self) -> str:
            return super().text().replace("ranges;  };", f"ranges; {text} }};", 1)

    base = Other(ram=ram)
    assert text in base.text()
    return base


@needs_dtc
def test_a_pool_that_has_no_room_left_is_named_with_where_it_has() -> None:
    cma = (
        'linux,cma { compatible = "shared-dma-pool"; reusable; size = <0 0x10000000>; '
        "alloc-ranges = <0 0x50000000 0 0x10000000>; };"
    )
    assert problems(profile(CHANNELS), reserved(cma)) == [
        "pool: r0: memory at 0x50000000, leaves no room for /reserved-memory/linux,cma, "
        "0x10000000 bytes within 0x50000000 to 0x60000000; it would fit with alloc-ranges at "
        "0x70000000, or with r0: memory at 0x4ff00000"
    ]
    # imx8qm-apalis-eval.dtb: no memory node.
    bare = reserved(cma, ram=Region(0, 0))
    (found,) = [each for each in problems(profile(CHANNELS), bare) if "pool" in each]
    assert found.endswith("; it would fit with r0: memory outside 0x50000000 to 0x60000000")


@needs_dtc
@pytest.mark.parametrize(
    ("start", "refused"), [(0x80000000, True), (0x50000001, True), (0x50000000, False)]
)
def test_ram_without_an_end_has_a_start(start: int, refused: bool) -> None:
    """imx7d-pico-pi.dtb: memory reg <0x80000000 0>."""
    base = Base(ram=Region(start, 0))
    found = problems(profile(CHANNELS), base)
    text = f"r0: memory at 0x50000000, 0x100000 bytes, is below RAM, which is {start:#x} to an unk"
    assert [each for each in found if each.startswith(f"ram: {text}")] == found
    assert bool(found) == refused
    if not refused:
        notes = overlay.for_base(
            profile(CHANNELS), "rsl", tree.from_blob(base.blob(), "base")
        ).notes
        assert "was not checked to be in RAM: it is 0x50000000 to an unknown end" in notes[0]


@needs_dtc
@pytest.mark.parametrize(
    ("secure", "expected"),
    [
        ('secure-status = "okay";', "overlap: r0: memory at 0x50000000, 0x100000 bytes, ov"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("kind", ["", 'device_type = "memory";'])
def test_what_the_secure_world_uses_is_not_free(secure: str, expected: str, kind: str) -> None:
    """QEMU's virt machine with secure=on has such memory; corstone1000-fvp.dtb such mailboxes."""
    node = f'sec {{ {kind} reg = <0 0x50000000 0 0x1000>; status = "disabled"; {secure} }};'
    found = problems(profile(CHANNELS), Base(extra=node))
    assert [each for each in found if expected and each.startswith(expected)] == found
    assert bool(found) == bool(expected)


@needs_dtc
@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("shmem@50000000 { };", "which is not the overlay's: choose another address"),
        ("rsl-mbox-r0 { };", "which is not the overlay's: choose another name for the link"),
        (
            'rsl-mbox-r0 { compatible = "rsl,mbox-client"; };',
            "which the overlay adds; is it merged?",
        ),
    ],
)
def test_whose_node_is_there_already_is_told(node: str, expected: str) -> None:
    """k3-am67a-beagley-ai.dtb has memory of others at such names."""
    path = f"/{node.partition(' ')[0]}"
    found = problems(profile(CHANNELS), Base(extra=node))
    assert found == [f"node: it has {path} already, {expected}"]


#: A base that takes all transports, with what the checks look at.
RICH = Base(
    used=True,
    spi=99,
    extra='ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; xlnx,ipi-id = <0>; '
    "interrupts = <0 35 4>; pmu { }; }; pci { #address-cells = <3>; #interrupt-cells = <1>; "
    "interrupt-map = <0 0 0 1 &gic 0 9 4>; };",
)


@pytest.fixture(scope="module")
def rich() -> bytes:
    return RICH.blob()


@needs_dtc
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 5000), garbage=st.binary(min_size=1, max_size=8), start=st.binary())
def test_whatever_a_base_holds_there_is_no_traceback(
    rich: bytes, at: int, garbage: bytes, start: bytes
) -> None:
    made = profile(CHANNELS, FIFOS, DOORBELL, IPI)
    at %= len(rich)
    for data in (start, rich[:16] + start, rich[:at] + garbage + rich[at + len(garbage) :]):
        try:
            fitted = overlay.for_base(made, "rsl", tree.from_blob(data, "base"))
            to_source(fitted)
            to_blob(fitted)
        except RslError as error:
            assert str(error).startswith("base: ")


@needs_dtc
def test_the_base_of_that_is_right_as_it_is(rich: bytes) -> None:
    assert problems(profile(CHANNELS, FIFOS, DOORBELL, IPI), RICH) == []
    assert rich
