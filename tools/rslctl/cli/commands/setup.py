# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl setup`` and ``rslctl teardown``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rslctl.boot import transaction
from rslctl.cli.board import chosen
from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import note, print_json, show
from rslctl.devicetree import tree
from rslctl.errors import RslError, SeveralError, UsageError
from rslctl.linux.host import Host
from rslctl.setup import bring_up, journal, lock, steps
from rslctl.setup.remote_steps import RemoteStarted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        BoardOption,
        DryRunOption,
        FirmwareOption,
        JsonOption,
        LinkOption,
        ModeOption,
        OwnerOption,
        RootOption,
        TakeOption,
        TimeoutOption,
        TransportOption,
        VerboseOption,
    )


class _Report:
    """Prints the steps as they are done, or collects them for one JSON document."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._links: dict[str, list[dict[str, Any]]] = {}
        self._link = ""

    def link(self, name: str) -> None:
        self._link = name
        self._links[name] = []

    def __call__(self, step: str, result: str, seconds: float) -> None:
        self._links[self._link].append(
            {"step": step, "result": result, "seconds": round(seconds, 3)}
        )
        if not self._json:
            # A closed pipe must not leave a link half set up.
            with contextlib.suppress(BrokenPipeError):
                show(f"{self._link}: {step}: {result} ({seconds:.2f} s)")

    def each(self, names: list[str], do: Callable[[str], None]) -> None:
        """Call *do* for each link, also after it failed for another link.

        Raises:
            RslError: *do* failed for one or more links; the message names them.
        """
        failed: list[RslError] = []
        for name in names:
            self.link(name)
            try:
                do(name)
            except RslError as error:
                failed.append(error)
        if self._json:
            print_json([{"link": name, "steps": steps} for name, steps in self._links.items()])
        if len(failed) > 1:
            raise SeveralError([str(error) for error in failed], hint=failed[0].hint)
        if failed:
            raise failed[0]


def setup(
    board: BoardOption,
    link: LinkOption = None,
    transport: TransportOption = None,
    owner: OwnerOption = None,
    mode: ModeOption = None,
    firmware: FirmwareOption = None,
    timeout: TimeoutOption = 5.0,
    force: TakeOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Bring the links of a board up. A second run does only what is missing.

    Example: rslctl setup --board qemu-virt
    """
    machine = host(root, verbose)
    profile = chosen(board, transport, machine)
    links = [profile.link(link)] if link else list(profile.links)
    if firmware and len(links) > 1:
        raise UsageError(f"--firmware is for one of the links {', '.join(x.name for x in links)}")
    uid, gid = bring_up.parse_owner(owner) if owner is not None else (None, None)
    ownership = steps.Ownership(uid, gid, int(mode, 8) if mode else None)
    # First, as it may be why the links are not there.
    _tell_of_stale_overlays(machine)
    now = tree.from_machine(machine)
    wait = timeout or 0
    report = _Report(json)

    def one(name: str) -> None:
        target = steps.Target(
            machine, profile, profile.link(name), now, ownership, wait, force=force, note=note
        )
        todo = bring_up.steps_for(target, firmware)
        bring_up.up(todo, _facts(board, target, todo), dry_run=dry_run, report=report)

    with contextlib.nullcontext() if dry_run else lock.locked(machine, wait, note):
        report.each([each.name for each in links], one)


def _tell_of_stale_overlays(machine: Host) -> None:
    if not transaction.names(machine):
        return
    from rslctl.boot import installed  # slow to load, and seldom needed

    for each in installed.findings(machine):
        note(f"{each.check}: {each.text}; {each.remedy}")


def _facts(board: str, target: steps.Target, todo: list[steps.Step]) -> journal.Facts:
    # A file is found again from anywhere.
    name = str(Path(board).absolute()) if board.endswith(".toml") else board
    remote = [step for step in todo if isinstance(step, RemoteStarted)]
    link = target.link
    facts = journal.Facts(name, link.transport, target.node, target.style)
    if remote:
        facts.remoteproc, facts.firmware = remote[0].node, remote[0].firmware
        facts.start = remote[0].start
    return facts


def teardown(
    link: LinkOption = None,
    timeout: TimeoutOption = 5.0,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Undo what setup did, in reverse order, and nothing else.

    Example: rslctl teardown
    """
    machine = host(root, verbose)
    report = _Report(json)
    with contextlib.nullcontext() if dry_run else lock.locked(machine, timeout or 0, note):
        links = journal.Journal.links(machine)
        if link is not None and link not in links:
            note(f"setup did nothing for link {link!r}: nothing to undo")
        elif not links:
            note("setup did nothing: nothing to undo")
        report.each(
            [each for each in links if link in (None, each)],
            lambda each: bring_up.down(machine, each, dry_run=dry_run, report=report),
        )
