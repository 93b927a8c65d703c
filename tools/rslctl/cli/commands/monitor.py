# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl monitor``."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import re
from collections.abc import Iterator
from typing import Annotated

import typer

from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import LinkOption, RootOption, TimeoutOption
from rslctl.cli.output import note
from rslctl.errors import UsageError
from rslctl.linux import mbox

#: What a notification has for each specifier of --format.
_SPECIFIERS = {"l": "link", "v": "vector", "t": "time", "c": "count"}


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
    ] = "%t %l vector %v count %c",
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per line.")] = False,
    link: LinkOption = None,
    root: RootOption = ROOT,
) -> None:
    """Show notifications from the remote as they come, until interrupted.

    Exit status 4: none came for the timeout.

    Example: rslctl monitor 0 1 -n 10 --format "%v %t"
    """
    _check(form)
    machine = host(root)
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
