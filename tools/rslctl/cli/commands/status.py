# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl status``."""

from __future__ import annotations

import sys
import time

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import busy, coloured, note, print_json, show
from rslctl.errors import RslError
from rslctl.linux import mbox, remoteproc
from rslctl.linux.host import Host
from rslctl.setup import journal
from rslctl.tables import pairs, table
from rslctl.virtio import headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from rslctl.cli.options import IntervalOption, JsonOption, LinkOption, RootOption

#: What is told where no link is up.
NO_LINK = "no link is up; bring one up with: rslctl setup --board NAME"
#: The states of a remote that are no good news (drivers/remoteproc/remoteproc_sysfs.c of Linux).
_MEANING = {"crashed": "error", "absent": "error"}
#: The states of a virtio device that are none.
_DEVICE_MEANING = {"away": "error", "broken": "error", "failed": "error", "left": "warning"}


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
    before = counters(machine, links)
    if interval:
        with busy(f"measuring for {interval:g} s"):
            time.sleep(interval)
    now = counters(machine, links) if interval else before
    shown = [
        {**look(machine, device, now, before, interval), "virtio": headers.read(machine, device)}
        for device in links
    ]
    if json:
        print_json(shown)
    else:
        for line in lines(shown):
            show(line)
    if not links:
        note(NO_LINK)
        sys.exit(1)


def look(
    machine: Host,
    device: mbox.LinkDevice,
    now: dict[str, list[mbox.Counters]],
    before: dict[str, list[mbox.Counters]],
    seconds: float | None,
) -> dict[str, Any]:
    """What docs/reference/status.md says of a link, with rates if *seconds* lie between both."""
    counted = [vars(each) for each in now[device.name]]
    about = {**vars(device), "node": device.node, **_set_up(machine, device)}
    about["counters"] = counted
    storms = mbox.storms(machine, device)
    about["storms"] = [count for count, _ in storms]
    about["storming"] = [vector for vector, (_, now) in enumerate(storms) if now]
    if seconds:
        about["rates"] = [
            {key: (value - vars(old)[key]) / seconds for key, value in new.items()}
            for new, old in zip(counted, before[device.name], strict=True)
        ]
    return about


def counters(machine: Host, links: list[mbox.LinkDevice]) -> dict[str, list[mbox.Counters]]:
    """The counters of links, by the links' names."""
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


def lines(links: list[dict[str, Any]], vectors: Collection[int] = ()) -> list[str]:
    """The lines that show links, as :func:`look` describes them; of *vectors* only, if any."""
    found: list[str] = []
    for link in links:
        found += [""] if found else []
        found.append(f"link {link['name']}")
        found += [f"  {line}" for line in pairs(_facts(link))]
        found += [f"  {line}" for line in table(_rows(link, vectors))]
        if link.get("virtio"):
            rows = table(_devices(link["virtio"]), left=(0, 3, 4))
            queues = _queues(link["virtio"])
            if len(queues) > 1:
                rows += table(queues, left=(0,))
            found += [f"  {line}" for line in rows]
    return found


def _facts(link: dict[str, Any]) -> dict[str, str]:
    size, base = link["memory_size"], link["memory_base"]
    where = "" if base is None else f" at {base:#x}"
    round_size = f" ({size >> 20} MiB)" if size and not size % (1 << 20) else ""
    notified = any(each["notifications"] for each in link["counters"])
    unread = notified and not link["open_files"]
    told = {
        "board": link["board"],
        "device": link["node"],
        "transport": link["transport"],
        "memory": f"{size:#x} bytes{round_size}{where}" if size else "none",
        "open files": coloured("0, so nobody reads the notifications", "warning")
        if unread
        else str(link["open_files"]),
        "remote": link["remote"] and coloured(link["remote"], _MEANING.get(link["remote"], "")),
    }
    if link["stalled_ms"]:
        text = f"the remote has not taken a kick for {mbox.duration(link['stalled_ms'])}"
        told["stalled"] = coloured(text, "error")
    for meaning, name, wanted in (("error", "masked", True), ("warning", "storms", False)):
        vectors = [
            f"{vector} ({count})"
            for vector, count in enumerate(link["storms"])
            if count and (vector in link["storming"]) == wanted
        ]
        if vectors:
            text = "for a storm, vector" if wanted else "over by now, vector"
            told[name] = coloured(f"{text} {', '.join(vectors)}", meaning)
    return {name: value for name, value in told.items() if value}


def _rows(link: dict[str, Any], vectors: Collection[int]) -> list[list[str]]:
    rates = link.get("rates")
    shown = ["kicks", "notifications"]
    rows = [["vector", "kicks", "coalesced", "notifications"]]
    rows[0] += [f"{name}/s" for name in shown] if rates else []
    for vector, each in enumerate(link["counters"]):
        if not vectors or vector in vectors:
            row = [vector, each["kicks"], each["kicks_coalesced"], each["notifications"]]
            row += [f"{rates[vector][name]:.1f}" for name in shown] if rates else []
            rows.append([str(cell) for cell in row])
    return rows


def _devices(devices: list[dict[str, Any]]) -> list[list[str]]:
    """The rows that show virtio devices."""
    rows = [["virtio", "id", "version", "features not taken", "state"]]
    for each in devices:
        bits = headers.not_taken(each)
        not_taken = "-" if bits is None else ",".join(map(str, bits)) or "none"
        state = coloured(each["state"], _DEVICE_MEANING.get(each["state"], ""))
        rows.append([each["name"], str(each["device_id"]), str(each["version"]), not_taken, state])
    return rows


def _queues(devices: list[dict[str, Any]]) -> list[list[str]]:
    """The rows that show the queues of virtio devices that run."""
    rows = [["virtio", "queue", "size", "vector", "available", "used"]]
    for device in devices:
        for each in device["queues"] or ():
            cells = ["-" if each[name] is None else str(each[name]) for name in rows[0][1:]]
            rows.append([device["name"], *cells])
    return rows
