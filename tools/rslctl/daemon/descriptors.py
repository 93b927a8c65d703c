# SPDX-License-Identifier: BSD-3-Clause
"""The descriptors for a daemon: of a link, or of a link that two programs play.

Names and meanings: docs/reference/daemon.md.
"""

from __future__ import annotations

import fcntl
import os
from typing import Any

from rslctl.daemon import manifest
from rslctl.errors import RslError, os_error
from rslctl.linux import ivshmem, mbox, uapi
from rslctl.linux.host import Host
from rslctl.profile import reader
from rslctl.profile.model import IVSHMEM, Board, Link
from rslctl.region import Region
from rslctl.setup import journal


class Offer:
    """Open descriptors by name, in order, and the data for their manifest.

    Use it in ``with``, which closes the descriptors.
    """

    def __init__(self, about: manifest.About) -> None:
        self.about = about
        self.fds: dict[str, int] = {}

    @property
    def document(self) -> dict[str, Any]:
        """The manifest of the descriptors."""
        return manifest.document(self.about, list(self.fds))

    def seal(self) -> None:
        """Add the manifest as the last descriptor."""
        text = manifest.document(self.about, [*self.fds, manifest.NAME])
        self.fds[manifest.NAME] = manifest.sealed(manifest.encode(text))

    def close(self) -> None:
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()

    def __enter__(self) -> Offer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def known(host: Host, link: str) -> tuple[str | None, Link | None]:
    """The name of the board that *link* was set up for, and the link in its profile.

    Raises:
        RslError: the profile cannot be read.
    """
    facts = journal.Journal.load(host, link).facts if link in journal.Journal.links(host) else None
    if facts is None:
        return None, None
    board = reader.load(facts.board, host)
    return board.name, board.link(link)


class Source:
    """Makes descriptors of a link, any number of times, also after the link was set up anew."""

    def __init__(self, host: Host, link: str | None, *, eventfds: bool) -> None:
        """For the link called *link*, which need not be up, or for the only link that is up.

        Raises:
            RslError: no link is named, and none is up or several are.
        """
        self._host = host
        self.name = link or mbox.pick(host, None).name
        self.eventfds = eventfds
        self._looked: tuple[int, mbox.LinkDevice, manifest.About] | None = None

    def _stamp(self) -> int:
        """A number that changes when the link is set up anew."""
        state = self._host.stat(f"{journal.STATE}/{self.name}.json")
        return state.st_mtime_ns if state else 0

    def _look(self) -> tuple[mbox.LinkDevice, manifest.About]:
        stamp = self._stamp()
        if self._looked is None or self._looked[0] != stamp:
            device = mbox.pick(self._host, self.name)
            self._looked = stamp, device, _about(self._host, device)
        return self._looked[1:]

    @property
    def device(self) -> mbox.LinkDevice:
        """The device of the link.

        Raises:
            RslError: it is not up.
        """
        return self._look()[0]

    @property
    def about(self) -> manifest.About:
        """The data for the manifest.

        Raises:
            RslError: it is not up.
        """
        return self._look()[1]

    @property
    def names(self) -> list[str]:
        """The names of the descriptors in order, the manifest last."""
        vectors = range(self.about.vectors)
        rings = [f"{ring}{n}" for ring in ("notify", "kick") for n in vectors]
        memory = ["shmem"] if self.about.memory else []
        return [*memory, *(rings if self.eventfds else ["mbox"]), manifest.NAME]

    def __call__(self) -> Offer:
        """Make new descriptors: ``shmem`` and ``mbox``, or eventfds instead of ``mbox``.

        ``shmem`` is the memory alone. The kernel binds the new eventfds beside those of earlier
        calls, which stay bound until they are closed.

        Raises:
            RslError: the link is not up, its device cannot be opened, or the kernel does not bind
                an eventfd.
        """
        try:
            return self._offer()
        except mbox.GoneError:
            self._looked = None
        return self._offer()

    def _offer(self) -> Offer:
        device, about = self._look()
        offer = Offer(about)
        try:
            with mbox.Mailbox(self._host, device) as mailbox:
                mailbox.check()
                if about.memory:
                    offer.fds["shmem"] = mailbox.memory()
                if self.eventfds:
                    _bind(offer, mailbox)
                else:
                    offer.fds["mbox"] = mailbox.detach()
                    os.set_blocking(offer.fds["mbox"], True)
        except BaseException as error:
            offer.close()
            if isinstance(error, OSError):
                what = f"make descriptors of link {self.name!r}"
                raise os_error(what, error) from error
            raise
        return offer


def _about(host: Host, device: mbox.LinkDevice) -> manifest.About:
    board, profile = known(host, device.name)
    other = device.transport == IVSHMEM
    memory = None
    if device.memory_size:
        # Two virtual machines have it at addresses that are of no use to each other.
        base = 0 if other else mbox.memory_base(host, device)
        memory = Region(base, device.memory_size)
    return manifest.About(
        role=_role(host, device, profile) if other else manifest.ROLES[0],
        link=device.name,
        transport=device.transport,
        vectors=device.vectors,
        memory=memory,
        board=board,
        profile=profile,
    )


def _role(host: Host, device: mbox.LinkDevice, profile: Link | None) -> str:
    """The side of this machine of a link to another one.

    That of the profile if another machine has taken it; the daemon's if nothing tells it.
    """
    role = ivshmem.attribute(host, ivshmem.of_link(host, device.device), "role")
    if role in ivshmem.ROLES:
        return role
    return profile.ivshmem.role if profile and profile.ivshmem else manifest.ROLES[0]


def _bind(offer: Offer, mailbox: mbox.Mailbox) -> None:
    for name, direction in (("notify", uapi.NOTIFY), ("kick", uapi.KICK)):
        for vector in range(offer.about.vectors):
            fd = offer.fds[f"{name}{vector}"] = _eventfd()
            mailbox.bind(vector, direction, fd)


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def of_programs(board: Board, link: Link) -> tuple[Offer, Offer]:
    """The descriptors of a link without hardware, for a daemon and for its remote.

    The shared memory is a memfd. A kick of one side is a notification of the other side.

    Raises:
        RslError: the memory is too large, or the process cannot open more descriptors.
    """
    daemon, remote = offers = tuple(
        Offer(manifest.About(role, link.name, "sim", link.vectors, link.memory, board.name, link))
        for role in manifest.ROLES
    )
    try:
        memory = os.memfd_create("rsl-shmem", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        daemon.fds["shmem"] = memory
        os.ftruncate(memory, link.memory.size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, manifest.SIZE_SEALS)
        remote.fds["shmem"] = os.dup(memory)
        for name in ("notify", "kick"):
            for vector in range(link.vectors):
                daemon.fds[f"{name}{vector}"] = _eventfd()
        for name, other in (("notify", "kick"), ("kick", "notify")):
            for vector in range(link.vectors):
                remote.fds[f"{name}{vector}"] = os.dup(daemon.fds[f"{other}{vector}"])
        for offer in offers:
            offer.seal()
    except BaseException as error:
        for offer in offers:
            offer.close()
        what = f"make link {link.name!r} with {link.memory.size:#x} bytes of memory"
        if isinstance(error, OSError):
            raise os_error(what, error) from error
        if isinstance(error, OverflowError):
            raise RslError(f"cannot {what}: that is too large for a file") from error
        raise
    return daemon, remote
