# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl store``."""

from __future__ import annotations

from rslctl.cli.machine import ROOT, host
from rslctl.daemon import descriptors, fdstore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import EventfdOption, LinkOption, UnitOption


def store_command(
    unit: UnitOption,
    link: LinkOption = None,
    eventfd: EventfdOption = False,
) -> None:
    """Have systemd keep a link's descriptors for a unit. The daemon gets them at each start.

    For ExecStartPre= of a unit with FileDescriptorStoreMax=. Where the unit has them already, as
    when its daemon is restarted, nothing is done, and no notification is lost in between.

    Example: rslctl store --link rpu0 --unit rsl-daemon@rpu0.service
    """
    source = descriptors.Source(host(ROOT), link, eventfds=eventfd)
    done = fdstore.keep(host(ROOT), unit, source)
    print(
        f"{source.name}: {'kept' if done else 'kept already'} for {unit}: {' '.join(source.names)}"
    )
