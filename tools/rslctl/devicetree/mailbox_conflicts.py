# SPDX-License-Identifier: BSD-3-Clause
"""The checks that the mailboxes of a board's links are in its base tree, and free.

They are a part of those in conflicts.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rslctl.devicetree import fifos, mailbox_channels, mailbox_styles
from rslctl.devicetree.mailbox_styles import shown
from rslctl.devicetree.tree import Tree
from rslctl.profile import zynqmp
from rslctl.profile.model import Board, Channels, Fifos, Ipi, Link, NodeRef

#: The first Linux that takes several remotes under one IPI agent (commit 98fc87fe2937).
_SEVERAL_REMOTES = (6, 13)


def find(board: Board, base: Tree, notes: list[str]) -> Iterator[str]:
    """Yield what is against the mailboxes of *board* in *base*, which has its changes of status.

    What is no conflict, but has to be said, is added to *notes*.
    """
    yield from _Checks(board, base, notes).all()


class _Checks:
    """The checks; each yields the messages of its conflicts."""

    def __init__(self, board: Board, base: Tree, notes: list[str]) -> None:
        self._board = board
        self._base = base
        self._notes = notes
        #: The channels of the links: the link and the specifier, by controller and identity.
        self._claimed: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]] = {}

    def all(self) -> Iterator[str]:
        for link in self._board.links:
            if isinstance(link.by, Fifos):
                yield from self._fifos(link, link.by)
            elif isinstance(link.by, Channels):
                yield from self._channels(link, link.by)
        yield from self._agents()

    def _controller(self, link: Link, node: NodeRef) -> Iterator[str]:
        path = self._base.find(node)
        if path and not self._base.enabled(path):
            yield (f"channel: {link.name}: {path} is disabled, and the profile does not enable it")

    def _channels(self, link: Link, mailbox: Channels) -> Iterator[str]:
        """The controller has the mailbox channels of the link, and no other node uses them."""
        base, controller = self._base, self._base.find(mailbox.controller)
        if controller is None:
            return
        yield from self._controller(link, mailbox.controller)
        width = base.cell(controller, "#mbox-cells", 0)
        users = mailbox_channels.users(base, controller)
        channels = list(dict.fromkeys((*mailbox.tx, *mailbox.rx)))
        for specifier in channels:
            text = f"channel: {link.name}: {shown(specifier)}"
            if len(specifier) != width:
                yield f"{text} has {len(specifier)} cells, {controller} takes {width}"
                continue
            if problem := mailbox_channels.problem(base, controller, specifier):
                yield f"{text}: {controller} {problem}"
            one = mailbox_channels.identity(base, controller, specifier)
            if one in users:
                yield f"{text} of {controller} is used by {users[one]}"
            first = self._claimed.setdefault((controller, one), (link.name, specifier))
            if first[1] != specifier:
                yield f"{text} of {controller} is the channel {shown(first[1])} of link {first[0]}"
        if problem := mailbox_channels.too_many(base, controller, len(channels)):
            yield f"channel: {link.name}: {controller} {problem}"
        if all(len(specifier) == width for specifier in channels):
            yield from self._styles(link, controller, mailbox)

    def _styles(self, link: Link, controller: str, mailbox: Channels) -> Iterator[str]:
        """The kernel module can use the channels as the link does."""
        for problem in dict.fromkeys(mailbox_styles.problems(self._base, controller, mailbox)):
            yield f"channel: {link.name}: {controller} {problem}"

    def _fifos(self, link: Link, mailbox: Fifos) -> Iterator[str]:
        """The cluster has the FIFOs and the user of the link, and no other node uses them."""
        base, controller = self._base, self._base.find(mailbox.controller)
        if controller is None:
            return
        text = f"channel: {link.name}:"
        yield from self._controller(link, mailbox.controller)
        whole = Channels(mailbox.controller, ((),), ((),), mailbox.payload_vectors)
        yield from self._styles(link, controller, whole)
        uses = list(fifos.uses(base, controller))
        for use in uses:
            if use.fifo in (mailbox.tx, mailbox.rx) and not base.idle(use.path):
                yield f"{text} FIFO {use.fifo} of {controller} is used by {use.path}"
        yield from self._user(text, mailbox, uses)
        number = base.cell(controller, "ti,mbox-num-fifos", 16)
        users = base.cell(controller, "ti,mbox-num-users", 4)
        for fifo in (mailbox.tx, mailbox.rx):
            if fifo >= number:
                yield f"{text} {controller} has {number} FIFOs, there is no {fifo}"
        if mailbox.user >= users:
            yield f"{text} {controller} has {users} users, there is no {mailbox.user}"
        lines = len(base.interrupts(controller))
        if mailbox.interrupt is None:
            self._notes.append(
                f"{text} which of the {lines} interrupts of {controller} is that of user "
                f"{mailbox.user} is not known: the first is taken; the key interrupt says another"
            )
        if (mailbox.interrupt or 0) >= lines:
            yield (
                f"{text} {controller} has {lines} interrupts, there is no number "
                f"{mailbox.interrupt or 0} for user {mailbox.user}"
            )

    def _user(self, text: str, mailbox: Fifos, uses: list[fifos.Use]) -> Iterator[str]:
        """The user of the link is Linux, as far as other sub-nodes tell."""
        if any(use.user == mailbox.user and not use.remote for use in uses):
            return
        for use in uses:
            if use.user == mailbox.user:
                self._notes.append(
                    f"{text} user {mailbox.user} is the remote's in {use.path}, which borrows its "
                    "interrupt (ti,mbox-send-noirq); Linux needs an interrupt of its own"
                )
                return
        for use in [each for each in uses if not each.remote][:1]:
            yield f"{text} user {mailbox.user} is not Linux, which is {use.user} in {use.path}"

    def _agents(self) -> Iterator[str]:
        """The IPI agents of a ZynqMP: free in the base, as on the chip, one remote per parent."""
        base = self._base
        links = {link.by.agent: link for link in self._board.links if isinstance(link.by, Ipi)}
        for path in base.nodes:
            if not set(base.texts(path, "compatible")) & mailbox_styles.IPI:
                continue
            agent = base.cell(path, "xlnx,ipi-id", -1)
            yield from self._remotes(path)
            if agent in links:
                yield (
                    f"agent: {links[agent].name}: IPI agent {agent} is that of {path}, "
                    f"use another of {', '.join(map(str, zynqmp.LOCAL))}"
                )
            for link in links.values():
                if isinstance(link.by, Ipi) and link.by.remote == agent:
                    yield f"agent: {link.name}: remote {agent} is the agent of {path}, Linux's own"
            spis = [each.cells[1] for each in base.interrupts(path)[:1] if len(each.cells) > 1]
            known = zynqmp.AGENTS.get(agent)
            if links and known and spis not in ([], [known.spi]):
                yield (
                    f"agent: {path} says that IPI agent {agent} has SPI {spis[0]}, "
                    f"on a ZynqMP it has {known.spi}"
                )

    def _remotes(self, path: str) -> Iterator[str]:
        """The kernel takes the remotes of an IPI agent, if a link needs its driver."""
        base = self._base
        count = len(base.children(path))
        needed = any(isinstance(link.by, Ipi) for link in self._board.links) or any(
            isinstance(link.by, Channels) and base.find(link.by.controller) in base.children(path)
            for link in self._board.links
        )
        if count < 2 or base.idle(path) or not needed:
            return
        text = f"zynqmp: {path} has {count} remotes: Linux before 6.13 crashes on more than one"
        release = re.match(r"(\d+)\.(\d+)", base.kernel)
        if not release:
            self._notes.append(f"{text} under a parent")
        elif (int(release[1]), int(release[2])) < _SEVERAL_REMOTES:
            yield f"{text} under a parent, and the base is of {base.kernel}"
