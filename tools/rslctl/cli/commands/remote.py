# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl remote start``, ``stop``, ``status`` and ``watch``."""

from __future__ import annotations

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import note, print_json
from rslctl.linux.host import Host
from rslctl.setup import order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        DryRunOption,
        FirmwareOption,
        ForceOption,
        IfKnownOption,
        JsonOption,
        LinkOption,
        RootOption,
        TimeoutOption,
        VerboseOption,
    )


def start(
    link: LinkOption = None,
    firmware: FirmwareOption = None,
    timeout: TimeoutOption = 30.0,
    force: ForceOption = False,
    if_known: IfKnownOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Start the remote once its daemon has the link open.

    Exit status 4: no daemon opened it within the timeout.

    Example: rslctl remote start --link rpu0
    """
    machine = host(root, verbose)
    if if_known and _is_unknown(machine, link, json):
        return
    remote = order.of(machine, link)
    done = order.start(
        machine, remote, firmware, timeout or 0, force=force, dry_run=dry_run, note=note
    )
    result = ("would start" if dry_run else "started") if done else "already running"
    _tell(machine, remote, result, json)


def stop(
    link: LinkOption = None,
    timeout: TimeoutOption = 5.0,
    force: ForceOption = False,
    if_known: IfKnownOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Stop the remote. Its daemon has to be stopped first.

    Example: rslctl remote stop --link rpu0
    """
    machine = host(root, verbose)
    if if_known and _is_unknown(machine, link, json):
        return
    remote = order.of(machine, link)
    done = order.stop(machine, remote, timeout or 0, force=force, dry_run=dry_run, note=note)
    result = ("would stop" if dry_run else "stopped") if done else "stopped already"
    _tell(machine, remote, result, json)


def status(link: LinkOption = None, json: JsonOption = False, root: RootOption = ROOT) -> None:
    """Show the state of the remote of a link.

    Example: rslctl remote status --json
    """
    machine = host(root)
    _tell(machine, order.of(machine, link), None, json)


def watch(link: LinkOption = None, json: JsonOption = False, root: RootOption = ROOT) -> None:
    """Wait until the remote does not run any more, for example after a crash.

    Example: rslctl remote watch && systemctl restart rsl-daemon@rpu0
    """
    machine = host(root)
    remote = order.of(machine, link)
    order.watch(machine, remote, note)
    _tell(machine, remote, None, json)


def _is_unknown(machine: Host, link: str | None, json: bool) -> bool:
    if order.is_known(machine, link):
        return False
    note("nothing is known to boot the remote: it is left alone")
    if json:
        print_json({"link": link, "result": "left alone"})
    return True


def _tell(machine: Host, remote: order.Remote, result: str | None, json: bool) -> None:
    now = remote.processor(machine)
    if json:
        done = {} if result is None else {"result": result}
        print_json({"link": remote.link, **vars(now), **done})
        return
    text = f"{now.state}, firmware {now.firmware}"
    print(f"{remote.link}: {now.device} ({now.node}): {result or text}")
