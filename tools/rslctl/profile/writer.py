# SPDX-License-Identifier: BSD-3-Clause
"""Boards written as commented profiles, which :mod:`profile.reader` reads.

docs/reference/board-profile.md describes the keys.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rslctl.profile.model import (
    Board,
    Channels,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    NodeRef,
    Remoteproc,
    RemoteSide,
    Transport,
)
from rslctl.region import Region

#: The tables of a link that have comments, in their order; "link" is the link's own.
TABLES = ("link", "memory", "firmware", "transport", "remote", "remoteproc")

#: The most characters of a line of comment.
_WIDTH = 96

Value = int | str | bool | list[int] | list[str] | list[list[int]]
Rows = Iterator[tuple[str, Value]]


@dataclass(frozen=True)
class Comments:
    """The comments of a profile: paragraphs, each of which begins a line."""

    #: At the top of the file.
    top: tuple[str, ...] = ()
    #: At its end.
    end: tuple[str, ...] = ()
    #: Of a link's tables, by the link's name and the table's of :data:`TABLES`.
    tables: Mapping[tuple[str, str], tuple[str, ...]] | None = None


def write(board: Board, comments: Comments) -> str:
    """Return the profile of *board*.

    It has the links' memory, the transports that they use, their remotes and what boots these. The
    tables virtio, remote-dt, access, sim and remoteproc.regions are not written.
    """
    tables = comments.tables or {}
    lines = [*_comment(comments.top), "", *map(_line, _board(board))]
    for link in board.links:
        for name in TABLES:
            rows = [*map(_line, _rows(link, name))]
            if rows:
                header = "[[link]]" if name == "link" else f"[link.{_header(link, name)}]"
                lines += ["", header, *_comment(tables.get((link.name, name), ())), *rows]
    lines += ["", *_comment(comments.end)] if comments.end else []
    return "\n".join(lines) + "\n"


def _comment(paragraphs: tuple[str, ...]) -> Iterator[str]:
    for text in paragraphs:
        # A name in a tree can have any character; a line must not end here.
        plain = "".join(each if each.isprintable() else "?" for each in text)
        yield from textwrap.wrap(
            plain,
            _WIDTH,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_on_hyphens=False,
            break_long_words=False,
        )


def _line(row: tuple[str, Value]) -> str:
    return f"{row[0]} = {_value(row[0], row[1])}"


def _value(key: str, value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(key, each) for each in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    return f"{value:#x}" if key.rpartition(".")[2] in _HEX else str(value)


#: The keys whose numbers are addresses, sizes or bits.
_HEX = {
    *("base", "size", "register", "ranges", "status-masks"),
    *(f"{name}-offset" for name in ("kick", "status", "clear", "enable", "disable")),
}


def _text(text: str) -> str:
    """A basic string of TOML: JSON's, with the character that only TOML forbids escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _board(board: Board) -> Rows:
    yield "description", board.description
    yield "compatible", list(board.compatible)
    if board.cells != (2, 2):
        yield "cells", list(board.cells)
    if board.interrupt_parent:
        yield "interrupt-parent", str(board.interrupt_parent)
    if board.interrupt_cells != 3:
        yield "interrupt-cells", board.interrupt_cells
    yield from _nodes("disable", board.disable)
    yield from _nodes("enable", board.enable)


def _nodes(key: str, nodes: tuple[NodeRef, ...]) -> Rows:
    if nodes:
        yield key, [str(node) for node in nodes]


def _header(link: Link, table: str) -> str:
    if table != "transport":
        return table
    if isinstance(link.by, Ipi):
        return "zynqmp-ipi"
    return "doorbell" if isinstance(link.by, Doorbell) else "mailbox"


def _rows(link: Link, table: str) -> Rows:
    if table == "link":
        yield "name", link.name
        yield from _nodes("remote-devices", link.remote_devices)
    elif table == "memory":
        yield from _region(link.memory)
    elif table == "firmware" and link.firmware:
        yield from _region(link.firmware)
    elif table == "transport":
        yield from _transport(link.by)
    elif table == "remote" and link.remote:
        yield from _remote(link.remote)
    elif table == "remoteproc" and link.remoteproc:
        yield from _remoteproc(link.remoteproc)


def _region(region: Region, prefix: str = "") -> Rows:
    yield f"{prefix}base", region.base
    yield f"{prefix}size", region.size


def _transport(by: Transport) -> Rows:
    if isinstance(by, Ipi):
        yield "agent", by.agent
        yield "remote", by.remote
        yield from _vectors(by.payload_vectors)
    elif isinstance(by, Doorbell):
        yield from _doorbell(by)
    else:
        yield "controller", str(by.controller)
        yield from _channels(by) if isinstance(by, Channels) else _fifos(by)
        yield from _vectors(by.payload_vectors)


def _vectors(number: int) -> Rows:
    if number:
        yield "vectors", number


def _channels(by: Channels) -> Rows:
    if by.tx == by.rx:
        yield "rx-tx", [list(each) for each in by.tx]
    else:
        yield "tx", [list(each) for each in by.tx]
        yield "rx", [list(each) for each in by.rx]
    for key, text in (("payload", by.payload), ("tx-done", by.tx_done)):
        if text:
            yield key, text
    if by.rx_ack:
        yield "rx-ack", True


def _fifos(by: Fifos) -> Rows:
    yield "fifos", [by.tx, by.rx]
    yield "user", by.user
    if by.interrupt is not None:
        yield "interrupt", by.interrupt


def _doorbell(by: Doorbell) -> Rows:
    yield "register", by.register
    if by.size != 4:
        yield "size", by.size
    yield "kick-values", list(by.kick_values)
    yield "spis", list(by.spis)
    yield "trigger", by.trigger
    for name, offset in by.offsets:
        yield f"{name}-offset", offset
    if by.status_masks:
        yield "status-masks", list(by.status_masks)


def _remote(side: RemoteSide) -> Rows:
    if side.core:
        yield "core", side.core
    if side.register is not None:
        yield "register", side.register
        yield "notify-values", list(side.notify_values)
    if side.interrupts:
        yield "interrupts", list(side.interrupts)
    if side.ranges:
        yield "ranges", [[each.remote, each.linux, each.size] for each in side.ranges]


def _remoteproc(made: Remoteproc) -> Rows:
    yield "node", str(made.node)
    if made.firmware:
        yield "firmware", made.firmware
    yield "start", made.start
    if made.mode:
        yield "mode", made.mode
    if made.dma_pool:
        yield from _region(made.dma_pool, "dma-pool.")
    yield from _nodes("memory-region", made.memory_region)
