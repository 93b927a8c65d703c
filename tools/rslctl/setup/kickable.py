# SPDX-License-Identifier: BSD-3-Clause
"""The check before a kick that the remote runs.

It is not in order.py, as that module takes long to load and "rslctl kick" has to start quickly.
"""

from __future__ import annotations

from rslctl.errors import RslError
from rslctl.linux import remoteproc
from rslctl.linux.host import Host
from rslctl.setup import journal


def check_running(host: Host, link: str) -> None:
    """Check that the remote of a link runs, if the link's profile has a remoteproc.

    Raises:
        RslError: the remote does not run.
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
