# SPDX-License-Identifier: BSD-3-Clause
"""The order of life: a daemon is ready before its remote starts, and stopped before it stops.

A remote that starts first finds no devices, one that restarts under its daemon kills
it, and one that is rung before it runs may hang in its start: docs/reference/life.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rslctl.errors import RslError, WaitTimeoutError
from rslctl.linux import inotify, mbox, remoteproc
from rslctl.linux.host import Host
from rslctl.linux.remoteproc import RemoteProcessor
from rslctl.setup.journal import Facts, Journal
from rslctl.setup.lock import locked
from rslctl.setup.remote_steps import RemoteStarted

#: Seconds between two looks at what the kernel tells no change of: whether a daemon is
#: ready, and whether a remote still runs.
_INTERVAL = 0.1
_WATCH_INTERVAL = 1.0


class UnknownRemoteError(RslError):
    """The profile of a link does not say what boots its remote."""


@dataclass(frozen=True)
class Remote:
    """What boots the remote of a link that is set up."""

    link: str
    facts: Facts

    def processor(self, host: Host) -> RemoteProcessor:
        """Its state now.

        Raises:
            RslError: the kernel has none.
        """
        return remoteproc.at(host, self.facts.remoteproc)


def of(host: Host, name: str | None) -> Remote:
    """The remote of the link called *name*, or of the only one that is set up.

    Raises:
        RslError: the link is not set up, or its profile does not say what boots its remote.
    """
    links = Journal.links(host)
    if name is None and len(links) > 1:
        raise RslError(
            f"more than one link is set up: {', '.join(links)}", hint="name one with --link"
        )
    link = name or (links[0] if links else "")
    if link not in links:
        raise RslError(
            f"link {link!r} is not set up" if link else "no link is set up",
            hint="set it up: rslctl setup --board NAME",
        )
    facts = Journal.load(host, link).facts
    if facts is None or not facts.remoteproc:
        raise UnknownRemoteError(
            f"nothing is known to boot the remote of link {link!r}",
            hint="add a table [link.remoteproc] to the profile, and run rslctl setup again",
        )
    return Remote(link, facts)


def is_known(host: Host, name: str | None) -> bool:
    """Whether it is known what boots the remote of a link that is set up.

    Raises:
        RslError: the link is not set up.
    """
    try:
        of(host, name)
    except UnknownRemoteError:
        return False
    return True


def start(
    host: Host,
    remote: Remote,
    firmware: str | None,
    timeout: float,
    *,
    force: bool,
    dry_run: bool,
    note: Callable[[str], None],
) -> bool:
    """Start a remote once its daemon has the link open; False if it runs already.

    *timeout* is how many seconds the daemon is given; with *force* it is not waited for. What
    stopping the remote takes goes into setup's journal, so that teardown can do it, too.

    Raises:
        WaitTimeoutError: the daemon did not open the link.
        RslError: it runs since before its daemon, has crashed, or the kernel refuses.
    """
    wanted = firmware or remote.facts.firmware
    processor = remote.processor(host)
    needs_daemon = remote.facts.start == "daemon" and not force
    if remoteproc.runs(processor, wanted):
        if needs_daemon:
            check_order(host, remote, processor)
        return False
    if processor.state not in remoteproc.RUNNING:
        remoteproc.check_startable(host, processor, wanted)
    if needs_daemon:
        _wait_for_daemon(host, remote, 0 if dry_run else timeout)
    if dry_run:
        return True
    with locked(host, timeout, note):
        journal = Journal.load(host, remote.link)
        plan = {
            "node": remote.facts.remoteproc,
            "firmware": processor.firmware,
            "served": bool(_open_files(host, remote)),
        }
        journal.add(RemoteStarted.name, plan)
        try:
            remoteproc.start(host, processor, wanted)
        except RslError:
            journal.drop(RemoteStarted.name, plan)
            raise
        journal.finish()
    return True


def check_order(host: Host, remote: Remote, processor: RemoteProcessor) -> None:
    """Check that a remote that runs was started after its daemon was there, as far as is known.

    Raises:
        RslError: it was not, or not by rslctl.
    """
    plan = Journal.load(host, remote.link).last(RemoteStarted.name)
    if not plan or not plan.get("served", True):
        raise RslError(
            f"{processor.device} runs already, and maybe since before its daemon did",
            hint="stop the daemon, then: rslctl remote stop; the daemon anew, rslctl remote "
            "start; --force takes it as it is",
        )


def _wait_for_daemon(host: Host, remote: Remote, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not _open_files(host, remote):
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(
                f"no daemon has link {remote.link!r} open after {timeout:g} s",
                hint="start the daemon first; --force starts the remote without one",
            )
        time.sleep(min(left, _INTERVAL))


def _open_files(host: Host, remote: Remote) -> int:
    device = mbox.at(host, remote.facts.node)
    return device.open_files if device else 0


def stop(
    host: Host,
    remote: Remote,
    timeout: float,
    *,
    force: bool,
    dry_run: bool,
    note: Callable[[str], None],
) -> bool:
    """Stop a remote that no daemon serves any more; False if it is stopped already.

    Its program has the name again that it had before :func:`start`.

    Raises:
        RslError: a daemon has the link open, or the kernel refuses.
    """
    processor = remote.processor(host)
    runs = processor.state in (*remoteproc.RUNNING, remoteproc.CRASHED)
    count = _open_files(host, remote)
    if runs and count and not force:
        raise RslError(
            f"link {remote.link!r} is in use: it is open {count} times",
            hint="stop its daemon first; --force stops the remote under it",
        )
    if dry_run:
        return runs
    with locked(host, timeout, note):
        journal = Journal.load(host, remote.link)
        plan = journal.last(RemoteStarted.name)
        remoteproc.put_back(host, processor, plan["firmware"] if plan else "")
        if plan:
            journal.drop(RemoteStarted.name, plan)
    return runs


def watch(host: Host, remote: Remote, note: Callable[[str], None]) -> str:
    """Wait until a remote does not run, or somebody stops or starts it; returns its state then.

    Raises:
        RslError: its device went away.
    """
    processor = remote.processor(host)
    with inotify.Writes(host.path(f"{remoteproc.CLASS}/{processor.device}/state")) as writes:
        note(f"watching the remote of link {remote.link}")
        while (state := remoteproc.state_of(host, processor)) in remoteproc.RUNNING:
            # Who stops it and starts it at once is not seen in its state.
            if writes.wait(_WATCH_INTERVAL):
                return remoteproc.state_of(host, processor)
    return state
