# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that systemd keeps for a unit while its daemon is restarted.

The protocol is sd_notify(3) with FDSTORE=1, FDSTOREREMOVE=1, FDNAME= and BARRIER=1. The manager
passes the descriptors to the unit's processes as sd_listen_fds_with_names(3) describes.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

from rslctl.daemon import manifest
from rslctl.daemon.descriptors import Offer, Source
from rslctl.daemon.open_file import LINK_NAMES
from rslctl.errors import RslError, WaitTimeoutError, os_error
from rslctl.linux import sd_notify
from rslctl.linux.host import Host

#: Seconds that the manager has to store the descriptors.
_TIMEOUT = 30.0


def keep(host: Host, unit: str, source: Source) -> bool:
    """Store descriptors of a link with the manager for *unit*. Returns False if it has them.

    Systemd drops the descriptors of a device that is gone. Then all descriptors are made anew. The
    manifest is always made anew, because the profile may have changed.

    Raises:
        RslError: this process does not belong to a unit, the unit stores no descriptors, or the
            link is not up.
    """
    address = sd_notify.address()
    if not address:
        raise RslError(
            "there is no service manager to keep descriptors: NOTIFY_SOCKET is not set",
            hint="this is for ExecStartPre= of a unit with FileDescriptorStoreMax=",
        )
    wanted = len(source.names)
    # Without memory no descriptor tells whether the link of an eventfd still exists.
    lasting = bool(source.about.memory) or not source.eventfds
    if _kept(host, unit) == wanted and lasting:
        with Offer(source.about) as told:
            told.fds[manifest.NAME] = manifest.sealed(
                manifest.encode(manifest.document(source.about, source.names))
            )
            _send(address, told, [manifest.NAME])
        return False
    with source() as offer:
        offer.seal()
        _send(address, offer, LINK_NAMES)
    kept = _kept(host, unit)
    if kept != wanted:
        raise RslError(
            f"the service manager keeps {kept} descriptors for {unit}, not {wanted}",
            hint=f"set FileDescriptorStoreMax={wanted} or more and NotifyAccess=exec in the unit",
        )
    return True


def _kept(host: Host, unit: str) -> int:
    shown = host.run(["systemctl", "show", "--value", "-p", "NFileDescriptorStore", unit])
    return int(shown.strip() or 0)


def _send(address: str, offer: Offer, places: Sequence[str]) -> None:
    """Replace the stored descriptors called *places* by *offer*, and wait for the manager."""
    try:
        for name in places:
            sd_notify.send(address, f"FDSTOREREMOVE=1\nFDNAME={name}")
        for name, fd in offer.fds.items():
            sd_notify.send(address, f"FDSTORE=1\nFDNAME={name}", [fd])
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            sd_notify.send(address, "BARRIER=1", [theirs])
        finally:
            os.close(theirs)
        _wait(ours)
    except OSError as error:
        raise os_error("hand descriptors to the service manager", error) from error


def _wait(ours: int) -> None:
    """Wait until the manager has closed the other end of the barrier."""
    try:
        poll = select.poll()
        poll.register(ours, 0)  # only for POLLHUP
        if not poll.poll(_TIMEOUT * 1000):
            raise WaitTimeoutError(
                f"the service manager did not take the descriptors in {_TIMEOUT:g} s"
            )
    finally:
        os.close(ours)
