# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl doctor``."""

from __future__ import annotations

import json as encoder
import os
import sys
from dataclasses import asdict
from pathlib import Path

from rslctl import __version__
from rslctl.boot import installed
from rslctl.cli.board import chosen
from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import INDENT, coloured, note, print_json, show
from rslctl.devicetree import overlay, tree
from rslctl.errors import RslError, UsageError
from rslctl.linux import bus, ivshmem
from rslctl.linux.command import run
from rslctl.linux.host import Host
from rslctl.profile import reader
from rslctl.profile.model import Board
from rslctl.setup import doctor, journal
from rslctl.setup.checks import Finding
from rslctl.virtio import headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        JsonOption,
        LinkOption,
        LookedAtBoardOption,
        ReportOption,
        RootOption,
        TransportOption,
    )

#: What a report has of the machine, below its root.
_FILES = (
    "/proc/version",
    "/proc/cmdline",
    "/proc/iomem",
    "/proc/interrupts",
    "/sys/module/uio_pdrv_genirq/parameters/of_id",
    "/sys/kernel/debug/devices_deferred",
)
_DIRECTORIES = ("/sys/class/rsl_mbox", "/sys/class/uio", "/sys/class/remoteproc", "/run/rslctl")
#: What it has of an ivshmem device.
_PCI_ATTRIBUTES = ("resource", "driver_override", "role", "peer", "position")
#: Attributes that do something or never end.
_NOT_READ = {"kick", "reset", "uevent", "coredump"}
#: The levels of findings, as people see them: what keeps a link from working first.
_ORDER = ("error", "warning", "unknown")
#: What of the kernel's log is ours.
_WORDS = (
    "rsl_mbox",
    "rsl-mbox",
    "mailbox",
    "uio",
    "remoteproc",
    "rproc",
    "reserved mem",
    "overlay",
)


def doctor_command(
    board: LookedAtBoardOption = None,
    link: LinkOption = None,
    transport: TransportOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Look for what is wrong, and say what to do about it. Nothing is changed.

    Exit status 1: something is wrong that keeps a link from working.

    Example: rslctl doctor --board zcu102
    """
    machine = host(root)
    profile = _board(machine, board, transport)
    links = (profile.link(link),) if profile and link else profile.links if profile else ()
    if profile is None:
        note("no link is set up and no --board is given: only what any board has is looked at")
        if link:
            raise UsageError("--link: without a board, no link is known", hint="add --board NAME")
    elif not profile.has_tree:
        note("links to other virtual machines: nothing is looked at in a device tree")
    now = tree.from_machine(machine)
    patient = doctor.Patient(machine, profile, links, now, only=link, headers=headers.read)
    found = doctor.look(patient)
    found += installed.findings(machine)
    if json:
        print_json([asdict(each) for each in found])
    else:
        for each in sorted(found, key=lambda each: _ORDER.index(each.level)):
            show(f"{coloured(each.level, each.level)}: {each.check}: {each.text}")
            show(each.remedy, indent=INDENT)
        print(_summary(found))
    if report:
        from rslctl.cli.options import write  # it loads typer, and a report is rare

        document = encoder.dumps(_report(machine, profile, now, found), indent=2)
        write({Path(report): document.encode()})
    if any(each.level == "error" for each in found):
        sys.exit(1)


def _board(machine: Host, name: str | None, transport: str | None) -> Board | None:
    if name:
        return chosen(name, transport, machine)
    for link in journal.Journal.links(machine):
        try:
            facts = journal.Journal.load(machine, link).facts
        except RslError:
            continue  # a finding of its own
        if facts:
            board = reader.load(facts.board, machine)
            offers = [each for each in board.links if facts.transport in each.offers]
            return overlay.choose(board, facts.transport) if offers else board
    return None


def _summary(found: list[Finding]) -> str:
    counts = dict.fromkeys(("error", "warning", "unknown"), 0)
    for each in found:
        counts[each.level] += 1
    told = [f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count]
    return ", ".join(told) or "nothing is wrong that can be seen"


def _report(
    machine: Host, board: Board | None, now: tree.Tree, found: list[Finding]
) -> dict[str, object]:
    files = {path: _text(machine, path) for path in _FILES}
    for address in bus.pci_devices(machine, ivshmem.VENDOR, ivshmem.DEVICE):
        paths = [f"{bus.path(address)}/{name}" for name in _PCI_ATTRIBUTES]
        files |= {path: _text(machine, path) for path in paths}
    for top in _DIRECTORIES:
        files |= _attributes(machine, top, 3)
    ours = ("/reserved-memory", "/shmem@", "/rsl-mbox", "/umb", "/zynqmp-ipi", "/chosen")
    return {
        "rslctl": __version__,
        "kernel": os.uname().release if machine.live else machine.names("/lib/modules"),
        "board": board.name if board else None,
        "compatible": now.texts("/", "compatible") if now.nodes else [],
        "findings": [asdict(each) for each in found],
        "device_tree": {
            path: {key: value.hex() for key, value in properties.items()}
            for path, properties in now.nodes.items()
            if path.startswith(ours)
        },
        "files": files,
        "log": _log(machine),
    }


def _attributes(machine: Host, directory: str, depth: int) -> dict[str, str]:
    found = {}
    for name in machine.names(directory):
        path = f"{directory}/{name}"
        if machine.is_file(path) and name not in _NOT_READ:
            found[path] = _text(machine, path)
        elif machine.is_directory(path) and depth and name not in ("device", "subsystem", "power"):
            found |= _attributes(machine, path, depth - 1)
    return found


def _text(machine: Host, path: str) -> str:
    try:
        return machine.read_text(path)
    except RslError as error:
        return f"({error})"


def _log(machine: Host) -> list[str]:
    if not machine.live:
        return []
    try:
        lines = run(["dmesg"]).splitlines()
    except RslError as error:
        return [f"({error})"]
    return [line for line in lines if any(word in line for word in _WORDS)]
