# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl setup`` and ``rslctl teardown``."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from rslctl import journal
from rslctl import setup as setups
from rslctl.commands.options import (
    ROOT,
    BoardOption,
    DryRunOption,
    JsonOption,
    LinkOption,
    RootOption,
    TimeoutOption,
    TransportOption,
    chosen,
    host,
    note,
    print_json,
)


def _mode(text: str | None) -> str | None:
    if text is not None and (not text.isdecimal() or set(text) - set("01234567") or len(text) > 4):
        raise typer.BadParameter(f"{text!r} is not an octal mode, as 0660")
    return text


class _Report:
    """Prints steps as they happen, or keeps them for one JSON document."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._links: dict[str, list[dict[str, str]]] = {}
        self._link = ""

    def link(self, name: str) -> None:
        self._link = name
        self._links[name] = []

    def __call__(self, step: str, result: str) -> None:
        self._links[self._link].append({"step": step, "result": result})
        if not self._json:
            print(f"{self._link}: {step}: {result}", flush=True)

    def finish(self) -> None:
        if self._json:
            print_json([{"link": name, "steps": steps} for name, steps in self._links.items()])


def setup(
    board: BoardOption,
    link: LinkOption = None,
    transport: TransportOption = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="USER[:GROUP]", help="Give the device node to them."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="OCTAL", help="Mode of the device node.", callback=_mode),
    ] = None,
    timeout: TimeoutOption = 5.0,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Bring the links of a board up; run again, it does only what is missing.

    Example: rslctl setup --board qemu-virt
    """
    machine = host(root)
    profile = chosen(board, transport, machine.root)
    links = [profile.link(link)] if link else list(profile.links)
    uid, gid = setups.parse_owner(owner) if owner else (None, None)
    ownership = setups.Ownership(uid, gid, int(mode, 8) if mode else None)
    setups.check_machine(machine, profile)
    report = _Report(json)
    with contextlib.nullcontext() if dry_run else journal.locked(machine):
        for each in links:
            report.link(each.name)
            plan = setups.steps(machine, profile, each, ownership, timeout or 0)
            setups.up(plan, dry_run=dry_run, report=report)
    report.finish()


def teardown(
    link: LinkOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Undo what setup did, in reverse, and nothing else.

    Example: rslctl teardown
    """
    machine = host(root)
    report = _Report(json)
    with contextlib.nullcontext() if dry_run else journal.locked(machine):
        links = journal.Journal.links(machine)
        if link is not None and link not in links:
            note(f"setup did nothing for link {link!r}: nothing to undo")
        elif not links:
            note("setup did nothing: nothing to undo")
        for each in links:
            if link in (None, each):
                report.link(each)
                setups.down(machine, each, dry_run=dry_run, report=report)
    report.finish()
