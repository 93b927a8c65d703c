# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl serve``."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import note
from rslctl.daemon import broker, descriptors
from rslctl.errors import RslError, UsageError, os_error
from rslctl.linux import listening
from rslctl.linux.host import Host
from rslctl.profile.model import Access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        EventfdOption,
        LinkOption,
        RootOption,
        SocketOption,
        VerboseOption,
    )


def serve(
    link: LinkOption = None,
    socket: SocketOption = None,
    eventfd: EventfdOption = False,
    verbose: VerboseOption = False,
    root: RootOption = ROOT,
) -> None:
    """Give a link's descriptors to the daemons that connect to a socket.

    Who may have them is the profile's to say, in the table link.access; otherwise the group
    "rsl" may. Runs until SIGTERM or SIGINT.

    Example: rslctl serve --link rpu0
    """
    machine = host(root)
    source = descriptors.Source(machine, link, eventfds=eventfd)

    def access() -> Access | None:
        try:
            profile = source.about.profile  # which is not read each time
        except RslError:
            profile = descriptors.known(machine, source.name)[1]
        return profile.access if profile else None

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            note(text)

    served = broker.Broker(source.name, source, access, say if verbose else lambda _: None, say)
    path = Path(socket) if socket else _usual(machine, source.name)
    # The policy decides whether who has connected gets the link.
    with listening.until_told_to_end(), listening.listening(path, 0o666) as listener:
        say(f"serving link {source.name} at {listener.getsockname()}")
        broker.serve(served, listener)


def _usual(machine: Host, link: str) -> Path:
    """The usual socket of *link*, whose directory is made if it is missing.

    Raises:
        UsageError: this is not the running machine, where it is bound by its name.
        RslError: the name of the link is none of a file, or the directory cannot be made.
    """
    if not machine.live:
        raise UsageError("--root: needs --socket", hint="the daemons of an image do not run yet")
    if "/" in link or link.startswith("."):
        raise RslError(f"link {link!r} has no name for a socket", hint="name one: --socket PATH")
    try:
        with contextlib.suppress(FileExistsError):
            machine.make_directory(broker.DIRECTORY, 0o755)
    except OSError as error:
        raise os_error(f"make '{machine.where(broker.DIRECTORY)}'", error) from error
    return Path(machine.where(f"{broker.DIRECTORY}/{link}.sock"))
