# SPDX-License-Identifier: BSD-3-Clause
"""Start, stop and watch a remote in the right order with its daemon.

The daemon has to be ready before its remote starts, and has to stop before its remote stops. A
remote that starts first finds no devices. A remote that restarts while its daemon runs kills the
daemon. A remote that is kicked before it runs may hang in its start. See docs/reference/life.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from rslctl.errors import RslError, WaitTimeoutError, os_error
from rslctl.linux import mbox, remoteproc
from rslctl.linux.host import Host
from rslctl.linux.remoteproc import RemoteProcessor
from rslctl.profile.model import IVSHMEM
from rslctl.setup.journal import Facts, Journal
from rslctl.setup.lock import locked
from rslctl.setup.remote_steps import RemoteStarted, start_plan

#: Seconds between two checks whether a daemon is ready, and whether a remote still runs. The
#: kernel sends no event for either.
_INTERVAL = 0.1
_WATCH_INTERVAL = 1.0


_IN_ORDER = "stop the daemon, then: rslctl remote stop; the daemon anew, rslctl remote start"


class OrderError(RslError):
    """A running remote was not started after its daemon, or nobody knows that it was."""


class RestartedError(OrderError):
    """Somebody else started a remote again, under its daemon."""


class UnknownRemoteError(RslError):
    """The profile of a link does not say what boots its remote."""


@dataclass(frozen=True)
class Remote:
    """The remote of a link that is set up, where the profile says what boots it."""

    link: str
    facts: Facts

    def processor(self, host: Host) -> RemoteProcessor:
        """Read the remote processor and its state.

        Raises:
            RslError: the kernel has no remote processor of the node.
        """
        return remoteproc.at(host, self.facts.remoteproc)


def of(host: Host, name: str | None) -> Remote:
    """Return the remote of the link called *name*, or of the only link that is set up.

    Raises:
        UnknownRemoteError: the profile does not say what boots the remote.
        RslError: the link is not set up, or *name* is None and several links are set up.
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
            hint="it is another virtual machine, which boots by itself"
            if facts and facts.transport == IVSHMEM
            else "add a table [link.remoteproc] to the profile, and run rslctl setup again",
        )
    return Remote(link, facts)


def is_known(host: Host, name: str | None) -> bool:
    """Return whether the profile of a link says what boots its remote.

    Raises:
        RslError: the link is not set up, or *name* is None and several links are set up.
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
    """Wait until the daemon has the link open, then start the remote.

    *timeout* is the longest wait in seconds. With *force* the daemon is not needed. The journal
    gets how to stop the remote, so teardown can stop it. Returns False if the remote already runs.

    Raises:
        WaitTimeoutError: the daemon did not open the link in time.
        RslError: the remote may run since before its daemon, has crashed, or the kernel refuses.
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
        _wait_for_daemon(host, remote, 0 if dry_run else timeout, note)
    if dry_run:
        return True
    with locked(host, timeout, note):
        journal = Journal.load(host, remote.link)
        plan = start_plan(host, processor, served=bool(_open_files(host, remote)))
        journal.add(RemoteStarted.name, plan)
        try:
            remoteproc.start(host, processor, wanted)
        except RslError:
            journal.drop(RemoteStarted.name, plan)
            raise
        journal.finish()
    return True


def check_order(host: Host, remote: Remote, processor: RemoteProcessor) -> None:
    """Check that a running remote was started after its daemon, and only once.

    The journal says who started it, the kernel's log whether somebody else did after that.

    Raises:
        RestartedError: the remote was started again since, by somebody else.
        OrderError: the remote was started before its daemon, or not by rslctl.
        RslError: the kernel's log cannot be read.
    """
    plan = Journal.load(host, remote.link).last(RemoteStarted.name)
    if not plan or not plan.get("served", True):
        raise OrderError(
            f"{processor.device} runs already, and maybe since before its daemon did",
            hint=f"{_IN_ORDER}; --force takes it as it is",
        )
    since = plan.get("log")
    if since is not None and remoteproc.starts(host, processor, since) > 1:
        raise RestartedError(
            f"{processor.device} was started again under its daemon, and not by rslctl",
            hint=f"{_IN_ORDER}; --force takes it as it is",
        )


def _wait_for_daemon(
    host: Host, remote: Remote, timeout: float, note: Callable[[str], None]
) -> None:
    if _open_files(host, remote):
        return
    if timeout:
        note(f"waiting until a daemon has link {remote.link} open, up to {timeout:g} s (--timeout)")
    deadline = time.monotonic() + timeout
    while not _open_files(host, remote):
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(
                f"no daemon has link {remote.link!r} open after {timeout:g} s",
                hint="start the daemon first, or give a slow one more time with --timeout; --force "
                "starts the remote without one",
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
    """Stop a remote, and set the name of its program back to that before :func:`start`.

    With *force* it is stopped even if a daemon has the link open. Returns False if the remote was
    not running.

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
    """Wait until a remote stops running, or a process writes its state; return the new state.

    Raises:
        RslError: the device of the remote is gone.
    """
    from rslctl.linux import inotify  # it loads ctypes, and only this needs it

    processor = remote.processor(host)
    path = f"{remoteproc.CLASS}/{processor.device}/state"
    try:
        fd = host.open(path, os.O_PATH)
    except OSError as error:
        raise os_error(f"watch '{host.where(path)}'", error) from error
    try:
        writes = inotify.Writes(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    with writes:
        inode = _inode(host, path)
        note(f"watching the remote of link {remote.link}")
        while (state := remoteproc.state_of(host, processor)) in remoteproc.RUNNING:
            # A stop with an immediate start does not show in the state, but it is a write. A driver
            # that was unbound and bound again has made another device of the same name.
            if writes.wait(_WATCH_INTERVAL) or _inode(host, path) != inode:
                return remoteproc.state_of(host, processor)
    return state


def _inode(host: Host, path: str) -> int:
    """The number of a file; 0 if it is gone."""
    state = host.stat(path)
    return state.st_ino if state else 0
