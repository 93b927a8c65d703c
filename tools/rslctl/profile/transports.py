# SPDX-License-Identifier: BSD-3-Clause
"""The reader of a link's transport tables: mailbox, doorbell, zynqmp-ipi and remote.

docs/reference/board-profile.md describes the tables.
"""

from __future__ import annotations

import re

from rslctl.linux.uapi import MAX_VECTORS
from rslctl.profile import zynqmp
from rslctl.profile.cores import CORES, Range
from rslctl.profile.model import (
    PAYLOADS,
    TRIGGERS,
    TX_DONE,
    Channels,
    Doorbell,
    Fifos,
    Ipi,
    Mailbox,
    NodeRef,
    RemoteSide,
    Transport,
)
from rslctl.profile.toml import Table, shown

#: The largest number of a shared peripheral interrupt (SPI) of a GIC. SPI 0 is INTID 32, the last
#: SPI is INTID 1019 (Arm IHI 0048 2.2.1).
SPI_MAX = 1019 - 32

#: A node reference: a label in dtc's syntax, or a path.
_NODE = re.compile(r"&[A-Za-z_][A-Za-z0-9_]*|/|(?:/[A-Za-z0-9,._+@-]+)+")


def node_ref(table: Table, key: str, text: str) -> NodeRef:
    """Parse a node reference of a profile: a label, paths, or both, separated by spaces.

    Raises:
        RslError: the text is not a valid node reference.
    """
    words = text.split()
    labels = [word[1:] for word in words if word.startswith("&")]
    if not words or len(labels) > 1 or not all(_NODE.fullmatch(word) for word in words):
        raise table.error(
            key,
            f"{shown(text)} is not a node's label, path or both, as '&mu /soc@0/mailbox@30aa0000'",
        )
    return NodeRef("".join(labels), tuple(word for word in words if word.startswith("/")))


def read(table: Table) -> tuple[dict[str, Transport], RemoteSide | None]:
    """Read the transports that a link offers, by name, and the remote's side.

    Raises:
        RslError: the link has no transport, or a table is not valid.
    """
    offers: dict[str, Transport] = {}
    remote = None
    if table.optional("zynqmp-ipi"):
        ipi = _ipi(table.table("zynqmp-ipi"))
        doorbell, remote = _ipi_doorbell(ipi)
        offers = {"mailbox": ipi, "doorbell": doorbell}
    if table.optional("mailbox"):
        offers["mailbox"], remote = _mailbox(table.table("mailbox")), None
    if table.optional("doorbell"):
        offers["doorbell"], remote = _doorbell(table.table("doorbell")), None
    if not offers:
        raise table.error(
            "", "has no way to notify: expected a table mailbox, doorbell or zynqmp-ipi"
        )
    if table.optional("remote"):
        remote = _remote(table.table("remote"), remote or RemoteSide())
    return offers, remote


def _payload_vectors(table: Table) -> int:
    return table.integer("vectors", 1, MAX_VECTORS) if table.optional("vectors") else 0


def _mailbox(table: Table) -> Mailbox:
    controller = node_ref(table, "controller", table.text("controller"))
    made: Mailbox
    if table.optional("fifos"):
        fifos = table.integers("fifos", 0, 15)
        if len(fifos) != 2 or fifos[0] == fifos[1]:
            raise table.error("fifos", f"{fifos} is not two FIFOs, to kick and to be notified by")
        user = table.integer("user", 0, 3) if table.optional("user") else 0
        index = table.integer("interrupt", 0, 3) if table.optional("interrupt") else None
        made = Fifos(controller, fifos[0], fifos[1], user, _payload_vectors(table), index)
    elif table.optional("rx-tx"):
        channels = tuple(table.rows("rx-tx", 0, 2**32 - 1))
        made = _channels(table, controller, channels, channels)
    else:
        tx, rx = (tuple(table.rows(key, 0, 2**32 - 1)) for key in ("tx", "rx"))
        made = _channels(table, controller, tx, rx)
    table.done()
    if isinstance(made, Channels):
        _check_channels(table, made)
    return made


def _channels(
    table: Table,
    controller: NodeRef,
    tx: tuple[tuple[int, ...], ...],
    rx: tuple[tuple[int, ...], ...],
) -> Channels:
    return Channels(
        controller,
        tx,
        rx,
        _payload_vectors(table),
        table.choice("payload", list(PAYLOADS)) if table.optional("payload") else "",
        table.choice("tx-done", list(TX_DONE)) if table.optional("tx-done") else "",
        table.flag("rx-ack"),
    )


def _check_channels(table: Table, made: Channels) -> None:
    key = "rx-tx" if made.tx == made.rx else "tx"
    if not 1 <= len(made.tx) <= MAX_VECTORS:
        raise table.error(key, f"has {len(made.tx)} channels, expected 1 to {MAX_VECTORS}")
    if len(made.tx) != len(made.rx):
        raise table.error("rx", f"has {len(made.rx)} channels, but tx has {len(made.tx)}")
    used = [*made.tx, *([] if made.tx == made.rx else made.rx)]
    if len(set(used)) != len(used):
        raise table.error(key, "has a channel twice")
    if made.payload_vectors and len(made.tx) > 1:
        raise table.error("vectors", "is for one channel that carries several; here are more")


def _ipi(table: Table) -> Ipi:
    agent = table.integer("agent", 0, max(zynqmp.AGENTS))
    remote = table.integer("remote", 0, max(zynqmp.AGENTS))
    vectors = _payload_vectors(table)
    table.done()
    for key, value, agents in (
        ("agent", agent, zynqmp.LOCAL),
        ("remote", remote, zynqmp.REMOTE),
    ):
        if value not in agents:
            expected = ", ".join(f"{each} ({zynqmp.AGENTS[each].name})" for each in agents)
            raise table.error(key, f"{value} is not one of {expected}")
    if agent == remote:
        raise table.error("remote", f"{remote} is Linux's own agent")
    return Ipi(agent, remote, vectors)


def _ipi_doorbell(ipi: Ipi) -> tuple[Doorbell, RemoteSide]:
    """Make the doorbell that uses the IPI registers directly: one bit, so one vector."""
    ours, theirs = zynqmp.AGENTS[ipi.agent], zynqmp.AGENTS[ipi.remote]
    doorbell = Doorbell(
        register=ours.registers,
        kick_values=(theirs.bit,),
        spis=(ours.spi,),
        trigger="level-high",
        size=zynqmp.SIZE,
        offsets=zynqmp.OFFSETS,
        status_masks=(theirs.bit,),
    )
    remote = RemoteSide(
        theirs.registers + zynqmp.TRIG, (ours.bit,), (theirs.spi + 32,), zynqmp.CORES[ipi.remote]
    )
    return doorbell, remote


def _doorbell(table: Table) -> Doorbell:
    doorbell = Doorbell(
        register=table.integer("register", 0, 2**64 - 4),
        kick_values=tuple(table.integers("kick-values", 0, 2**32 - 1)),
        spis=tuple(table.integers("spis", 0, SPI_MAX)),
        trigger=table.choice("trigger", list(TRIGGERS)),
        size=table.integer("size", 4, 2**32) if table.optional("size") else 4,
        offsets=tuple(
            (name, table.integer(f"{name}-offset", 0, 2**32 - 4))
            for name in ("kick", "status", "clear", "enable", "disable")
            if table.optional(f"{name}-offset")
        ),
        status_masks=tuple(table.integers("status-masks", 1, 2**32 - 1))
        if table.optional("status-masks")
        else (),
    )
    table.done()
    _check_doorbell(table, doorbell)
    return doorbell


def _check_doorbell(table: Table, doorbell: Doorbell) -> None:
    vectors = len(doorbell.kick_values)
    offsets = dict(doorbell.offsets)
    if doorbell.register % 4:
        raise table.error("register", f"{doorbell.register:#x} is not a multiple of 4")
    if not 1 <= vectors <= MAX_VECTORS:
        raise table.error("kick-values", f"has {vectors} values, expected 1 to {MAX_VECTORS}")
    for name, offset in offsets.items():
        if offset % 4 or offset > doorbell.size - 4:
            raise table.error(
                f"{name}-offset", f"{offset:#x} is not a 32-bit register in {doorbell.size} bytes"
            )
    if offsets.keys() - {"kick", "status"} and "status" not in offsets:
        raise table.error("status-offset", "is missing, which the other registers need")
    if len(doorbell.status_masks) != (vectors if "status" in offsets else 0):
        raise table.error(
            "status-masks",
            f"has {len(doorbell.status_masks)} masks, expected one per vector beside status-offset",
        )
    if len(doorbell.spis) != vectors and not (len(doorbell.spis) == 1 and "status" in offsets):
        raise table.error(
            "spis",
            f"has {len(doorbell.spis)} interrupts, but kick-values has {vectors} vectors: "
            "one each, or one for all and status-offset",
        )
    if len(set(doorbell.spis)) != len(doorbell.spis):
        raise table.error("spis", "has an interrupt twice: each vector needs its own")


def _remote(table: Table, known: RemoteSide) -> RemoteSide:
    """Read the remote's side; what the table does not have is as *known* has it."""

    def integers(key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(table.integers(key, 0, 2**32 - 1)) if table.optional(key) else default

    register = table.integer("register", 0, 2**64 - 4) if table.optional("register") else None
    own = register is not None or "notify-values" in table
    made = RemoteSide(
        register if own else known.register,
        integers("notify-values", () if own else known.notify_values),
        integers("interrupts", known.interrupts),
        table.choice("core", list(CORES)) if table.optional("core") else known.core,
        _ranges(table),
    )
    table.done()
    if (made.register is None) != (not made.notify_values):
        raise table.error("notify-values", "goes with register, and register with it")
    return made


def _ranges(table: Table) -> tuple[Range, ...]:
    """Read an optional list of ranges, each as [remote's address, Linux's address, size]."""
    found = []
    for row in table.rows("ranges", 0, 2**64) if table.optional("ranges") else ():
        if len(row) != 3 or not row[2] or max(row[0], row[1]) + row[2] > 2**64:
            raise table.error(
                "ranges",
                f"{[f'{each:#x}' for each in row]} is not [remote's address, Linux's, size]",
            )
        found.append(Range(*row))
    return tuple(found)
