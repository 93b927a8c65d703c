# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl status``."""

from __future__ import annotations

from dataclasses import asdict, astuple

import typer
from rich.console import Console
from rich.table import Table

from rslctl import mbox
from rslctl.commands.options import ROOT, JsonOption, LinkOption, RootOption, host, note, print_json


def status(
    link: LinkOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Show the links that are up and their counters.

    Exit status 1: no link is up, or not the one named by --link.

    Example: rslctl status --json
    """
    machine = host(root)
    links = [mbox.pick(machine, link)] if link else mbox.find(machine)
    counters = {device.name: mbox.counters(machine, device) for device in links}
    if json:
        print_json(
            [
                {
                    **asdict(device),
                    "node": device.node,
                    "counters": [asdict(each) for each in counters[device.name]],
                }
                for device in links
            ]
        )
    else:
        for device in links:
            _show(device, counters[device.name])
    if not links:
        note("no link is up; bring one up with: rslctl setup --board NAME")
        raise typer.Exit(1)


def _show(link: mbox.LinkDevice, counters: list[mbox.Counters]) -> None:
    memory = f"{link.memory_base:#x}, {link.memory_size:#x} bytes" if link.memory_size else "none"
    print(f"link {link.name}: {link.node}, transport {link.transport}, shared memory {memory},")
    print(f"open files {link.open_files}")
    table = Table("vector", "kicks", "coalesced", "notifications", box=None)
    for column in table.columns:
        column.justify = "right"
    for vector, each in enumerate(counters):
        table.add_row(str(vector), *map(str, astuple(each)))
    Console().print(table)
