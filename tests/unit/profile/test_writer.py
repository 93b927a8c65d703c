# SPDX-License-Identifier: BSD-3-Clause
"""Boards written as profiles, and read again."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.profile import reader, writer
from rslctl.profile.cores import Range
from rslctl.profile.model import Board, Channels, NodeRef, Remoteproc, RemoteSide
from rslctl.profile.writer import Comments
from rslctl.region import Region

from tests.unit.machine import REAL_BOARDS

NONE = Comments()


def written(board: Board, comments: Comments = NONE) -> Board:
    return reader.from_text(writer.write(board, comments), "written", board.name)


def bare(board: Board) -> Board:
    """The board without what is not written, and with the transports in use only."""
    return dataclasses.replace(
        board,
        links=tuple(
            dataclasses.replace(link, virtio=None, remote_dt=None, access=None)
            for link in board.links
        ),
    )


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_what_is_written_is_read_the_same(name: str) -> None:
    board = bare(reader.load(name))
    assert written(board) == board


def test_every_key_is_written() -> None:
    board = bare(reader.load("stm32mp157c-dk2"))
    channels = Channels(
        NodeRef("ipcc", ("/soc/mailbox@4c001000",)),
        ((4,),),
        ((5,),),
        8,
        "u32-pointer",
        "client",
        True,
    )
    link = dataclasses.replace(
        board.links[0],
        offers={"mailbox": channels},
        firmware=Region(0xD2000000, 0x1000),
        remote=RemoteSide(None, (), (7,), "", (Range(0x10, 0xC0000000, 0x20000000),)),
        remoteproc=Remoteproc(
            NodeRef("", ("/m4@0",)),
            "fw.elf",
            "setup",
            "split",
            dma_pool=Region(0xD3000000, 0x1000),
            memory_region=(NodeRef("a"), NodeRef("b")),
        ),
    )
    whole = dataclasses.replace(
        board,
        links=(link,),
        interrupt_parent=NodeRef("gic", ("/gic",)),
        interrupt_cells=4,
        disable=(NodeRef("x"),),
        enable=(NodeRef("y"), NodeRef("", ("/z",))),
    )
    assert written(whole) == whole


@given(st.text())
def test_no_text_breaks_the_profile(text: str) -> None:
    """A tree's strings can have any character."""
    text = text.encode(errors="replace").decode()
    # The reader wants a line of text.
    line = "".join(filter(str.isprintable, text)) or "x"
    board = dataclasses.replace(reader.load("imx8mp-evk"), description=line)
    comments = Comments((text,), (text,), {("m7", "memory"): (text, text)})
    assert written(bare(board), comments) == bare(board)


def test_comments_are_where_they_belong() -> None:
    board = bare(reader.load("imx8mp-evk"))
    tables = {("m7", "memory"): ("Found: it.",), ("m8", "memory"): ("nowhere",)}
    text = writer.write(board, Comments(("Top.",), ("End.",), tables))
    assert text.startswith("# Top.\n\ndescription = ")
    assert "[link.memory]\n# Found: it.\nbase = 0x58000000\nsize = 0x1000000\n" in text
    assert text.endswith("\n# End.\n")
    assert "nowhere" not in text
