# SPDX-License-Identifier: BSD-3-Clause
"""The board that --board names."""

from __future__ import annotations

from rslctl.devicetree import overlay
from rslctl.errors import RslError, UsageError
from rslctl.linux.host import Host
from rslctl.profile import reader
from rslctl.profile.model import TRANSPORTS, Board


def described(board: str, transport: str | None, machine: Host) -> Board:
    """As :func:`chosen`, for a board whose links a device tree describes.

    Raises:
        RslError: as :func:`chosen`, or no device tree does.
    """
    loaded = chosen(board, transport, machine)
    if not loaded.has_tree:
        raise RslError(
            f"board {loaded.name!r} has no device tree: its links are of PCI devices",
            hint=f"no overlay is needed: rslctl setup --board {board}",
        )
    return loaded


def chosen(board: str, transport: str | None, machine: Host) -> Board:
    """Load the profile *board* of *machine*, with *transport* instead of its own if one is given.

    Raises:
        RslError: there is no such profile, or a link does not offer the transport.
    """
    loaded = reader.load(board, machine)
    played = [link.name for link in loaded.links if link.sim]
    if played:
        raise RslError(
            f"link {played[0]!r} of board {loaded.name!r} has no hardware",
            hint=f"rslctl run --board {board} --remote COMMAND -- DAEMON plays it",
        )
    if transport is None:
        return loaded
    if transport not in TRANSPORTS:
        raise UsageError(f"--transport: {transport!r} is not one of {', '.join(TRANSPORTS)}")
    if not loaded.has_tree:
        raise UsageError(
            f"--transport: the links of board {loaded.name!r} have no other than ivshmem"
        )
    return overlay.choose(loaded, transport)
