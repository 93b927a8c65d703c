# SPDX-License-Identifier: BSD-3-Clause
"""The order of life: a daemon is ready before its remote starts, and stopped before it stops.

A remote that starts first finds no devices, one that restarts under its daemon kills
it, and one that is rung before it runs may hang in its start: docs/life.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rslctl import mbox, remoteproc
from rslctl.errors import RslError, WaitTimeoutError
from rslctl.host import Host
from rslctl.journal import Facts, Journal
from rslctl.remoteproc import RemoteProcessor

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


def check_running(host: Host, link: str) -> None:
    """Check that the remote of a link, where it is known what boots it, is there to be rung.

    Raises:
        RslError: it is not.
    """
    facts = Journal.load(host, link).facts if link in Journal.links(host) else None
    if not facts or not facts.remoteproc:
        return
    processor = remoteproc.at(host, facts.remoteproc)
    if processor.state not in remoteproc.RUNNING:
        raise RslError(
            f"the remote of link {link!r} is {processor.state}: nobody there to be kicked",
            hint=f"start it: rslctl remote start --link {link}",
        )


def start(host: Host, remote: Remote, firmware: str | None, timeout: float, *, force: bool) -> bool:
    """Start a remote once its daemon has the link open; False if it runs already.

    *timeout* is how many seconds the daemon is given; with *force* it is not waited for.

    Raises:
        WaitTimeoutError: the daemon did not open the link.
        RslError: the kernel refuses.
    """
    wanted = firmware or remote.facts.firmware
    processor = remote.processor(host)
    if processor.state in remoteproc.RUNNING and wanted in ("", processor.firmware):
        return False
    if remote.facts.start == "daemon" and not force:
        _wait_for_daemon(host, remote, timeout)
    remoteproc.start(host, processor, wanted)
    return True


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


def stop(host: Host, remote: Remote, *, force: bool) -> bool:
    """Stop a remote that no daemon serves any more; False if it is stopped already.

    Raises:
        RslError: a daemon has the link open, or the kernel refuses.
    """
    processor = remote.processor(host)
    if processor.state not in remoteproc.RUNNING:
        return False
    count = _open_files(host, remote)
    if count and not force:
        raise RslError(
            f"link {remote.link!r} is in use: it is open {count} times",
            hint="stop its daemon first; --force stops the remote under it",
        )
    remoteproc.stop(host, processor)
    return True


def watch(host: Host, remote: Remote, note: Callable[[str], None]) -> str:
    """Wait until a remote does not run, or not any more, and return the state that it is in.

    Raises:
        RslError: its device went away.
    """
    note(f"watching the remote of link {remote.link}")
    while (state := remote.processor(host).state) in remoteproc.RUNNING:
        time.sleep(_WATCH_INTERVAL)
    return state
