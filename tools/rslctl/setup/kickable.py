# SPDX-License-Identifier: BSD-3-Clause
"""Whether there is a remote to be kicked; apart from life.py, as kick has to start quickly."""

from __future__ import annotations

from rslctl.errors import RslError
from rslctl.linux import remoteproc
from rslctl.linux.host import Host
from rslctl.setup import journal


def check_running(host: Host, link: str) -> None:
    """Check that the remote of a link, where it is known what boots it, is there to be rung.

    Raises:
        RslError: it is not.
    """
    facts = journal.facts(host, link)
    if not facts or not facts.remoteproc:
        return
    processor = remoteproc.at(host, facts.remoteproc)
    if processor.state not in remoteproc.RUNNING:
        raise RslError(
            f"the remote of link {link!r} is {processor.state}: nobody there to be kicked",
            hint=f"start it: rslctl remote start --link {link}",
        )
