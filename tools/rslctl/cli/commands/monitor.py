# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl monitor``."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import re
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from rslctl.cli import live as screen
from rslctl.cli.commands import status
from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import IntervalOption, LinkOption, RootOption, TimeoutOption
from rslctl.cli.output import note
from rslctl.errors import RslError, UsageError
from rslctl.linux import mbox
from rslctl.linux.host import Host

#: What a notification has for each specifier of --format.
_SPECIFIERS = {"l": "link", "v": "vector", "t": "time", "c": "count"}
#: The default of --format.
_FORM = "%t %l vector %v count %c"
#: Seconds until the first rates are shown.
_FIRST = 0.2


def monitor(
    vectors: Annotated[
        list[int] | None, typer.Argument(metavar="[VECTOR]...", help="Vectors; all, if left out.")
    ] = None,
    number: Annotated[
        int | None,
        typer.Option("-n", metavar="COUNT", min=1, help="End after this many notifications."),
    ] = None,
    timeout: TimeoutOption = None,
    form: Annotated[
        str, typer.Option("--format", metavar="TEXT", help="%l link, %v vector, %t time, %c count.")
    ] = _FORM,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per line.")] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Show counters, rates, stalls and open files on one screen."),
    ] = False,
    interval: IntervalOption = None,
    link: LinkOption = None,
    root: RootOption = ROOT,
) -> None:
    """Show notifications from the remote as they come, until interrupted.

    With --live, show all links on one screen instead, every second, until interrupted or "q".

    Exit status 4: none came for the timeout.

    Example: rslctl monitor 0 1 -n 10 --format "%v %t"
    """
    _check(form)
    machine = host(root)
    if live:
        if number or timeout is not None or json or form != _FORM:
            raise UsageError("--live goes with vectors, --interval, --link and --root only")
        _live(machine, link, vectors or [], interval or 1.0)
        return
    if interval is not None:
        raise UsageError("--interval goes with --live only")
    device = mbox.pick(machine, link)
    mask = 0 if vectors else (1 << device.vectors) - 1
    for vector in vectors or []:
        mask |= device.vector(vector)
    with (
        mbox.Mailbox(machine, device, flags=os.O_RDONLY) as mailbox,
        contextlib.suppress(KeyboardInterrupt),
    ):
        note(f"watching link {device.name}")
        for shown, each in enumerate(_notifications(mailbox, mask, timeout), 1):
            print(json_module.dumps(each) if json else render(form, each), flush=True)
            if shown == number:
                break


def _live(machine: Host, link: str | None, vectors: list[int], interval: float) -> None:
    """Show the links that are up, as ``rslctl status`` does, again and again."""
    before: dict[str, list[mbox.Counters]] = {}
    since = 0.0

    def frame() -> list[str]:
        nonlocal before, since
        head = f"rslctl monitor --live: every {interval:g} s; q ends"
        try:
            links = [mbox.pick(machine, link)] if link else mbox.find(machine)
            now = status.counters(machine, links)
            at = time.monotonic()
            seconds = {
                device.name: at - since if _grown(before.get(device.name), now[device.name]) else 0
                for device in links
            }
            shown = [
                status.look(machine, device, now, before, seconds[device.name]) for device in links
            ]
            before, since = now, at
            body = status.lines(shown, vectors) or [status.NO_LINK]
        except RslError as error:  # a link may go away while it is looked at
            body = [str(error)]
        return [head, "", *body]

    links = [mbox.pick(machine, link)] if link else mbox.find(machine)
    for device in links:
        for vector in vectors:
            device.vector(vector)
    before, since = status.counters(machine, links), time.monotonic()
    time.sleep(min(_FIRST, interval))
    screen.show(frame, interval)


def _grown(before: list[mbox.Counters] | None, now: list[mbox.Counters]) -> bool:
    """Whether the counters are of the same device as before: those of a new one begin at 0."""
    return before is not None and all(
        old.kicks <= new.kicks and old.notifications <= new.notifications
        for old, new in zip(before, now, strict=True)
    )


def _notifications(
    mailbox: mbox.Mailbox, mask: int, timeout: float | None
) -> Iterator[dict[str, str | int]]:
    told: dict[int, int] = {}
    while True:
        for vector in mbox.vectors_of(mailbox.wait(mask, timeout)):
            seen = mailbox.last(vector)
            # One that came after the read was told already, with those before it.
            if told.get(vector) == seen.count:
                continue
            told[vector] = seen.count
            yield {
                "link": mailbox.link.name,
                "vector": vector,
                "time": seen.time,
                "count": seen.count,
            }


def render(form: str, notification: dict[str, str | int]) -> str:
    """A notification in a form of --format; times are in seconds."""

    def text(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        value = notification[_SPECIFIERS[found[1]]]
        if found[1] == "t":
            seconds, nanoseconds = divmod(int(value), 10**9)
            return f"{seconds}.{nanoseconds:09}"
        return str(value)

    return re.sub("%(.)", text, form)


def _check(form: str) -> None:
    for found in re.finditer("%(.?)", form, re.DOTALL):
        if found[1] not in ("%", *_SPECIFIERS):
            known = ", ".join(f"%{each}" for each in (*_SPECIFIERS, "%"))
            raise UsageError(f"--format: {found[0]!r} is not one of {known}")
