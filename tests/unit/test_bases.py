# SPDX-License-Identifier: BSD-3-Clause
"""Overlays fitted to bases of all kinds: what is accepted merges and reads back as asked."""

from __future__ import annotations

import dataclasses
import subprocess
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from rslctl.devicetree import overlay, tree
from rslctl.devicetree.nodes import to_blob, to_source
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError
from rslctl.profile import model, zynqmp
from rslctl.profile.model import NodeRef
from rslctl.region import Region
from rslctl.setup import checks

from tests.unit.programs import needs_dtc
from tests.unit.test_overlay import normal

pytestmark = needs_dtc

#: The checks, as docs/reference/overlay.md lists them.
CHECKS = {
    *("agent", "cells", "channel", "compatible", "interrupt", "label", "node", "overlap"),
    *("phandle", "ram", "register", "zynqmp"),
}

GIC = "/gic@f9010000"
MU = "/soc/mailbox@1000"
RAM = Region(0x40000000, 0x40000000)
CLUSTER = "/soc/mailbox@2000"


@dataclass(frozen=True)
class Base:
    """A base with an interrupt controller, two mailbox controllers and RAM."""

    cells: tuple[int, int] = (2, 2)
    symbols: bool = False
    #: Whether the mailbox controllers have phandles, by a user of channel 7.
    used: bool = False
    disabled: bool = False
    ram: Region = RAM
    #: Something else that is reserved.
    taken: Region | None = None
    spi: int | None = None
    extra: str = ""

    def reg(self, region: Region) -> str:
        address, size = self.cells
        cells = (*wide(region.base, address), *wide(region.size, size))
        return " ".join(f"{cell:#x}" for cell in cells)

    def text(self) -> str:
        address, size = self.cells
        status = 'status = "disabled";' if self.disabled else ""
        taken = f"taken {{ reg = <{self.reg(self.taken)}>; }};" if self.taken else ""
        user = "user { mboxes = <&mu 3 7>; };" if self.used else ""
        other = f"other {{ interrupts = <0 {self.spi} 4>; }};" if self.spi is not None else ""
        return f"""/dts-v1/;
/ {{
    #address-cells = <{address}>; #size-cells = <{size}>;
    compatible = "vendor,board"; interrupt-parent = <&gic>;
    gic: gic@f9010000 {{ interrupt-controller; #interrupt-cells = <3>; reg =
        <{self.reg(Region(0xF9010000, 0x1000))}>; }};
    memory {{ device_type = "memory"; reg = <{self.reg(self.ram)}>; }};
    reserved-memory {{ #address-cells = <{address}>; #size-cells = <{size}>; ranges; {taken} }};
    soc {{ #address-cells = <1>; #size-cells = <1>; ranges;
        mu: mailbox@1000 {{ reg = <0x1000 0x100>; #mbox-cells = <2>; {status} }};
        cluster: mailbox@2000 {{ reg = <0x2000 0x100>; #mbox-cells = <1>; {status}
            ti,mbox-num-fifos = <16>; mbox-other {{ ti,mbox-tx = <0 0 2>; ti,mbox-rx = <1 0 2>; }};
        }};
    }};
    {user} {other} {self.extra}
}};
"""

    def blob(self) -> bytes:
        command = ["dtc", "-q", "-I", "dts", "-O", "dtb", *(["-@"] if self.symbols else [])]
        return subprocess.run(
            command, input=self.text().encode(), stdout=subprocess.PIPE, check=True
        ).stdout


def wide(value: int, cells: int) -> tuple[int, ...]:
    return (value >> 32, value & 0xFFFFFFFF)[2 - cells :]


MEMORY = Region(0x50000000, 0x100000)
CHANNELS = model.Channels(NodeRef("mu", (MU,)), ((2, 0), (2, 1)), ((3, 0), (3, 1)))
FIFOS = model.Fifos(NodeRef("cluster", ("/soc/nowhere", CLUSTER)), 4, 5, 2, 8)
DOORBELL = model.Doorbell(0x10000, (1, 2), (40, 41), "edge-rising")
IPI = model.Ipi(7, 1)


MEMORY_THAT_IS_OFF = (
    'memory@50000000 { device_type = "memory"; reg = <0 0x50000000 0 0x1000000>; '
    'status = "disabled"; };'
)


def profile(*transports: model.Transport, cells: tuple[int, int] = (2, 2)) -> model.Board:
    links = []
    for number, transport in enumerate(transports):
        kind = "doorbell" if isinstance(transport, model.Doorbell) else "mailbox"
        memory = Region(MEMORY.base + number * MEMORY.size, MEMORY.size)
        links.append(model.Link(f"r{number}", memory, None, {kind: transport}, kind))
    return model.Board(
        name="test",
        description="a board",
        compatible=("vendor,board",),
        links=tuple(links),
        cells=cells,
        interrupt_parent=NodeRef("gic", (GIC,)),
    )


def merged(made: model.Board, base: Base, style: str = "rsl") -> Tree:
    blob = base.blob()
    fitted = overlay.for_base(made, style, tree.from_blob(blob, "base"))
    source = subprocess.run(
        ["dtc", "-q", "-I", "dts", "-O", "dtb"],
        input=to_source(fitted).encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert normal(source) == normal(to_blob(fitted))
    return tree.from_blob(overlay.merge(fitted, blob), "merged")


def problems(made: model.Board, base: Base) -> list[str]:
    try:
        merged(made, base)
    except SeveralError as error:
        return [message.removeprefix("base: ") for message in error.messages]
    return []


def reads_back(made: model.Board, result: Tree) -> None:
    """Check that a merged tree says what the profile asked for."""
    assert overlay.unlike(made, result) == []
    for link in made.links:
        place = f"/reserved-memory/memory@{link.memory.base:x}"
        assert result.regions(place) == [link.memory]
        assert "no-map" in result.nodes[place]
        assert result.regions(f"/shmem@{link.memory.base:x}") == [link.memory]
        client = next(path for path in result.nodes if result.texts(path, "label") == [link.name])
        (number,) = result.cells(client, "memory-region")
        assert result.phandles[number] == place
        by = link.by
        if isinstance(by, model.Doorbell):
            spis = [each.cells[1] for each in result.interrupts(client)]
            assert (spis, result.interrupts(client)[0].controller) == (list(by.spis), GIC)
            assert result.cells(client, "rsl,kick-values") == by.kick_values
            continue
        channels = result.specifiers(client, "mboxes", "#mbox-cells")
        if isinstance(by, model.Channels):
            pairs = zip(by.tx, by.rx, strict=True)
            asked = [each for pair in pairs for each in (pair[:1] if by.tx == by.rx else pair)]
            assert channels == [(MU, each) for each in asked]
        elif isinstance(by, model.Fifos):
            ((controller, (sub_node,)),) = channels
            path = result.phandles[sub_node]
            assert (controller, tree.parent(path)) == (CLUSTER, CLUSTER)
            assert result.cells(path, "ti,mbox-tx") == (by.tx, 0, by.user)
            assert result.cells(path, "ti,mbox-rx") == (by.rx, 0, by.user)
            assert result.enabled(CLUSTER)
        else:
            mailbox = channels[0][0]
            above = tree.parent(mailbox)
            assert above == f"/zynqmp-ipi-{link.name}"
            assert channels == [(mailbox, (0,)), (mailbox, (1,))]
            assert result.cells(above, "xlnx,ipi-id") == (by.agent,)
            assert result.cells(mailbox, "xlnx,ipi-id") == (by.remote,)
            assert result.interrupts(above)[0].cells[1] == zynqmp.AGENTS[by.agent].spi


@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("cells", [(2, 2), (1, 1), (2, 1)])
def test_every_transport_fits_a_base_with_and_without_labels_and_phandles(
    symbols: bool, used: bool, cells: tuple[int, int]
) -> None:
    made = profile(CHANNELS, FIFOS, DOORBELL, IPI)
    reads_back(made, merged(made, Base(cells, symbols, used)))


@pytest.mark.parametrize(
    ("made", "base", "expected"),
    [
        (profile(CHANNELS), Base(disabled=True), "channel: r0: /soc/mailbox@1000 is disabled, and"),
        (
            profile(dataclasses.replace(CHANNELS, rx=((3, 7), (3, 1)))),
            Base(used=True),
            "channel: r0: <3 7> of /soc/mailbox@1000 is used by /user",
        ),
        (
            profile(dataclasses.replace(CHANNELS, tx=((2,), (1,)))),
            Base(),
            "channel: r0: <2> has 1 cells, /soc/mailbox@1000 takes 2",
        ),
        (
            profile(CHANNELS, CHANNELS),
            Base(),
            "channel: r1: <2 0> of &mu /soc/mailbox@1000 is used by link r0",
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
            profile(IPI),
            Base(extra='ipi { compatible = "xlnx,zynqmp-ipi-mailbox"; one { }; two { }; };'),
            "zynqmp: /ipi has 2 remotes: Linux before 6.13 crashes on more than one",
        ),
        (
            profile(FIFOS, dataclasses.replace(FIFOS, tx=5, rx=4)),
            Base(),
            "channel: r1: FIFO 4 of &cluster /soc/nowhere /soc/mailbox@2000 is used by link r0",
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


def test_a_machine_is_known_by_whose_nodes_it_has() -> None:
    made = profile(IPI)
    for style, node in (("rsl", "/rsl-mbox-r0"), ("user-mailbox", "/umb")):
        running = merged(made, Base(), style)
        assert overlay.style_of(made, running) == style
        assert overlay.notification_path(made, made.links[0], style) == node
        assert checks.machine(made, running) == []
    running.nodes["/umb"]["mbox-names"] = b"rx\0tx\0"
    assert overlay.style_of(made, running) == "rsl"
    assert checks.machine(made, running)


def test_a_machine_that_runs_with_something_else_is_told_in_what_it_differs() -> None:
    made = profile(CHANNELS, FIFOS, IPI)
    running = merged(made, Base())
    running.nodes["/rsl-mbox-r0"]["mboxes"] = bytes(4) + running.nodes["/rsl-mbox-r0"]["mboxes"][4:]
    running.nodes["/zynqmp-ipi-r2"]["xlnx,ipi-id"] = (8).to_bytes(4, "big")
    del running.nodes[f"{CLUSTER}/mbox-rsl-r1"]
    found = overlay.unlike(made, running)
    assert {each.split(":")[0] for each in found} == {
        *("/zynqmp-ipi-r2", "/rsl-mbox-r0", "/rsl-mbox-r1", f"{CLUSTER}/mbox-rsl-r1")
    }
    assert "/zynqmp-ipi-r2: xlnx,ipi-id is <8>, the profile says <7>" in found


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


def test_an_mu_has_four_channels_of_each_type() -> None:
    mu = Base(extra='mu2: mu2 { compatible = "fsl,imx6sx-mu"; #mbox-cells = <2>; };')
    wrong = model.Channels(NodeRef("", ("/mu2",)), ((3, 1),), ((3, 4),), 2)
    found = problems(profile(wrong), mu)
    assert [each.partition(": the types")[0] for each in found] == [
        "channel: r0: /mu2 has no tx channel <3 1>",
        "channel: r0: /mu2 has no rx channel <3 4>",
        "channel: r0: /mu2 has no payload, to carry 2 vectors in",
    ]


def test_a_node_that_has_only_a_path_needs_a_base() -> None:
    made = overlay.build(profile(dataclasses.replace(CHANNELS, controller=NodeRef("", (MU,)))))
    for form in (to_source, to_blob):
        with pytest.raises(RslError, match="can be referred to by its path only with --base"):
            form(made)


pages = st.integers(0, 0x8F000).map(lambda page: page << 12)
regions = st.builds(
    Region, pages, st.sampled_from([1, 16, 256, 4096]).map(lambda count: count << 12)
)
cell = st.integers(0, 7)
pairs = st.lists(st.tuples(cell, cell), min_size=2, max_size=8, unique=True)
channels = pairs.map(
    lambda each: model.Channels(
        NodeRef("mu", (MU,)), tuple(each[0 : len(each) // 2 * 2 : 2]), tuple(each[1::2])
    )
)
fifos = st.builds(
    lambda both, user, vectors: model.Fifos(
        NodeRef("cluster", (CLUSTER,)), both[0], both[1], user, vectors
    ),
    st.lists(st.integers(0, 15), min_size=2, max_size=2, unique=True),
    st.sampled_from((2, 2, 2, 0)),
    st.integers(0, 32),
)
doorbells = st.integers(1, 4).flatmap(
    lambda count: st.builds(
        lambda register, values, spis, trigger: model.Doorbell(
            register * 4, tuple(values), tuple(spis), trigger
        ),
        st.integers(0, 2**20),
        st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count),
        st.lists(st.integers(0, 987), min_size=count, max_size=count, unique=True),
        st.sampled_from(sorted(model.TRIGGERS)),
    )
)
ipis = st.builds(model.Ipi, st.sampled_from(zynqmp.LOCAL), st.sampled_from((1, 2)))


@st.composite
def boards(draw: st.DrawFn) -> model.Board:
    transports = draw(st.lists(channels | fifos | doorbells | ipis, min_size=1, max_size=3))
    made = profile(*transports)
    links = tuple(
        dataclasses.replace(link, memory=draw(regions), firmware=draw(st.none() | regions))
        for link in made.links
    )
    return dataclasses.replace(made, links=links)


bases = st.builds(
    Base,
    cells=st.sampled_from([(2, 2), (1, 1), (2, 1)]),
    symbols=st.booleans(),
    used=st.booleans(),
    disabled=st.booleans(),
    ram=st.sampled_from([Region(0, 0x80000000), Region(0x20000000, 0x60000000)]),
    taken=st.none() | regions,
    spi=st.none() | st.integers(0, 100),
)


@settings(max_examples=60, deadline=None)
@given(boards(), bases)
def test_what_is_accepted_reads_back_and_what_is_refused_is_refused_by_a_check(
    made: model.Board, base: Base
) -> None:
    try:
        result = merged(made, base)
    except SeveralError as error:
        assert {message.split(": ")[1] for message in error.messages} <= CHECKS
    else:
        event("accepted")
        reads_back(made, result)


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


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
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


def test_the_base_of_that_is_right_as_it_is(rich: bytes) -> None:
    assert problems(profile(CHANNELS, FIFOS, DOORBELL, IPI), RICH) == []
    assert rich
