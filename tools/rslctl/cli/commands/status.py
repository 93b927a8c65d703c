# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl status``."""

from __future__ import annotations

import sys
import time

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import busy, note, print_json
from rslctl.errors import RslError
from rslctl.linux import mbox, remoteproc
from rslctl.linux.host import Host
from rslctl.setup import journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rslctl.cli.options import IntervalOption, JsonOption, LinkOption, RootOption


def status(
    link: LinkOption = None,
    interval: IntervalOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Show the links that are up, what they carry, and whether their remotes run.

    Exit status 1: no link is up, or not the one named by --link.

    Example: rslctl status --json
    """
    machine = host(root)
    links = [mbox.pick(machine, link)] if link else mbox.find(machine)
    before = _counters(machine, links)
    if interval:
        with busy(f"measuring for {interval:g} s"):
            time.sleep(interval)
    now = _counters(machine, links) if interval else before
    shown = []
    for device in links:
        counted = [vars(each) for each in now[device.name]]
        about = {**vars(device), "node": device.node, **_set_up(machine, device)}
        about["counters"] = counted
        if interval:
            about["rates"] = [
                {key: (value - vars(old)[key]) / interval for key, value in new.items()}
                for new, old in zip(counted, before[device.name], strict=True)
            ]
        shown.append(about)
    if json:
        print_json(shown)
    else:
        for about in shown:
            _show(about)
    if not links:
        note("no link is up; bring one up with: rslctl setup --board NAME")
        sys.exit(1)


def _counters(machine: Host, links: list[mbox.LinkDevice]) -> dict[str, list[mbox.Counters]]:
    return {device.name: mbox.counters(machine, device) for device in links}


def _set_up(machine: Host, device: mbox.LinkDevice) -> dict[str, str | None]:
    """What setup was told of the link of *device*."""
    for name in journal.Journal.links(machine):
        try:
            facts = journal.facts(machine, name)
        except RslError as error:
            note(str(error))
            continue
        found = mbox.at(machine, facts.node) if facts else None
        if facts and found and found.device == device.device:
            at = [each.state for each in remoteproc.find(machine) if each.node == facts.remoteproc]
            return {
                "board": facts.board,
                "remote": (at or ["absent"])[0] if facts.remoteproc else None,
            }
    return {"board": None, "remote": None}


def _show(link: dict[str, Any]) -> None:
    size, base = link["memory_size"], link["memory_base"]
    where = "" if base is None else f"{base:#x}, "
    memory = f"{where}{size:#x} bytes" if size else "none"
    print(f"link {link['name']}: {link['node']}, transport {link['transport']},")
    print(f"shared memory {memory}, open files {link['open_files']}")
    if link["remote"]:
        print(f"remote {link['remote']}")
    if link["stalled_ms"]:
        print(f"stalled: the remote has not taken a kick for {link['stalled_ms']} ms")
    rates = link.get("rates")
    shown = ["kicks", "notifications"]
    rows = [["vector", "kicks", "coalesced", "notifications"]]
    rows[0] += [f"{name}/s" for name in shown] if rates else []
    for vector, each in enumerate(link["counters"]):
        row = [vector, each["kicks"], each["kicks_coalesced"], each["notifications"]]
        row += [f"{rates[vector][name]:.1f}" for name in shown] if rates else []
        rows.append([str(each) for each in row])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(" " + "  ".join(map(str.rjust, row, widths)))
