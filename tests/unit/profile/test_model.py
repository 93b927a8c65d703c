# SPDX-License-Identifier: BSD-3-Clause
"""What a profile says of a board, as data."""

from __future__ import annotations

import dataclasses

import pytest
from rslctl.errors import RslError
from rslctl.profile import model, reader
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.unit.profile.support import MAILBOX, PROFILE, parse


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0x70000000",
            "0x70fff000",
            r":19: link\[1\]\.memory: 0x70fff000, 0x1000000 bytes, overlap",
        ),
        ("[90, 91]", "[94, 91]", r":23: link\[1\]\.doorbell: SPI 91 is used by link rpu0"),
    ],
)
def test_links_do_not_take_from_each_other(old: str, new: str, message: str) -> None:
    link = PROFILE[PROFILE.index("[[link]]") :].replace("rpu0", "rpu1")
    other = link.replace(old, new)
    for keep in ("0x70000000", "[90, 91]"):
        if keep != old:
            other = other.replace(keep, {"0x70000000": "0x60000000"}.get(keep, "[92, 93]"))
    with pytest.raises(RslError, match=message):
        parse(PROFILE + other)


def test_two_remotes_under_one_agent_are_refused() -> None:
    ipi = MAILBOX.replace("mailbox", "zynqmp-ipi") + "agent = 7\nremote = 1\n"
    link = ipi[ipi.index("[[link]]") :]
    second = link.replace("rpu0", "rpu1").replace("remote = 1", "remote = 2")
    second = second.replace("0x70000000", "0x60000000")
    with pytest.raises(
        RslError, match=r"link\[1\]\.zynqmp-ipi: IPI agent 7 is used by link rpu0; each"
    ):
        parse(ipi + second)


def test_a_link_that_is_not_there_is_told_with_those_that_are() -> None:
    board = reader.load("zcu102")
    with pytest.raises(RslError, match="board 'zcu102' has no link 'rpu1'") as error:
        board.link("rpu1")
    assert error.value.hint == "did you mean 'rpu0'? its links: rpu0"
    assert board.link(None) == board.link("rpu0")


def test_what_needs_more_cells_than_there_are_is_named() -> None:
    board = reader.load("qemu-virt")
    link = dataclasses.replace(
        board.links[0],
        memory=Region((1 << 32) - 0x1000, 0x2000),
        offers={"doorbell": model.Doorbell(1 << 32, (1,), (40,), "edge-rising")},
    )
    high = dataclasses.replace(board, links=(link,))
    assert high.too_large(2, 2) == []
    assert [each.partition(",")[0] for each in high.too_large(1, 1)] == [
        "rpu0: memory at 0xfffff000",
        "rpu0: doorbell at 0x100000000",
    ]
    assert board.too_large(1, 1) == []


@pytest.mark.parametrize(
    ("by", "vectors"),
    [
        (model.Channels(NodeRef("mu"), ((0,), (1,)), ((2,), (3,))), 2),
        (model.Channels(NodeRef("mu"), ((0,),), ((1,),), 8), 8),
        (model.Fifos(NodeRef("cluster"), 4, 5), 1),
        (model.Fifos(NodeRef("cluster"), 4, 5, 0, 32), 32),
        (model.Ipi(7, 1), 1),
        (model.Doorbell(0x1000, (1, 2, 3), (40, 41, 42), "edge-rising"), 3),
    ],
)
def test_the_transport_says_how_many_vectors_there_are(by: model.Transport, vectors: int) -> None:
    name = "doorbell" if isinstance(by, model.Doorbell) else "mailbox"
    assert model.Link("a", Region(0, 4096), None, {name: by}, name).vectors == vectors
    assert model.Link("a", Region(0, 4096), None, {}, "sim", sim=5).vectors == 5


def test_a_node_is_shown_as_a_profile_writes_it() -> None:
    for text in ("&mu", "/soc/mailbox@1000", "&mu /soc/mailbox@1000 /soc@0/mailbox@1000"):
        words = text.split()
        label = words[0][1:] if words[0][0] == "&" else ""
        assert str(NodeRef(label, tuple(word for word in words if word[0] == "/"))) == text
