# SPDX-License-Identifier: BSD-3-Clause
"""A link brought up and taken down on a machine made of files."""

from __future__ import annotations

import json
from pathlib import Path

from rslctl.devicetree import tree
from rslctl.profile import reader
from rslctl.setup import bring_up, steps
from rslctl.setup.journal import Facts

from tests.unit.machine import Machine


def target(machine: Machine, ownership: steps.Ownership | None = None) -> steps.Target:
    link, now = machine.board.links[0], tree.from_machine(machine.host)
    return steps.Target(
        machine.host, machine.board, link, now, ownership or steps.Ownership(), timeout=0
    )


def up(machine: Machine, ownership: steps.Ownership | None = None) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    wanted = target(machine, ownership)
    bring_up.up(
        bring_up.steps_for(wanted, None),
        Facts("qemu-virt", "doorbell", wanted.node, "rsl"),
        dry_run=False,
        report=lambda step, result, _: said.append((step, result)),
    )
    return said


def ivshmem_up(machine: Machine, firmware: str | None = None) -> list[tuple[str, str]]:
    """Set up the link of the board ivshmem."""
    said: list[tuple[str, str]] = []
    board, now = reader.load("ivshmem"), tree.from_machine(machine.host)
    wanted = steps.Target(machine.host, board, board.links[0], now, timeout=0)
    bring_up.up(
        bring_up.steps_for(wanted, firmware),
        Facts("ivshmem", "ivshmem", wanted.node, wanted.style),
        dry_run=False,
        report=lambda step, result, _: said.append((step, result)),
    )
    return said


def down(machine: Machine) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    bring_up.down(
        machine.host,
        "rpu0",
        dry_run=False,
        report=lambda step, result, _: said.append((step, result)),
    )
    return said


def written(machine: Machine, link: str, *entries: dict[str, object]) -> None:
    machine.with_facts(link, board="b", transport="doorbell", node="/n", style="rsl")
    document = {"complete": True, "entries": entries}
    machine.write(f"/run/rslctl/{link}.json", json.dumps(document))


def journal(machine: Machine) -> Path:
    return machine.root / "run/rslctl/rpu0.json"
