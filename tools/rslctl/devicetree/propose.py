# SPDX-License-Identifier: BSD-3-Clause
"""A profile made from a board's device tree: a link for each remote that the tree knows.

What a link needs is looked for by the functions by which conflicts.py checks it. Each link is then
checked as one of a user's would be, and left out, with the reason, if it is refused.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from rslctl.devicetree import (
    conflicts,
    free_channels,
    interrupts,
    merged_links,
    overlay,
    r5_cluster,
    remoteproc,
    remotes,
)
from rslctl.devicetree.free_channels import node
from rslctl.devicetree.holes import Holes, Running
from rslctl.devicetree.remotes import Known
from rslctl.devicetree.tree import Tree, parent
from rslctl.errors import RslError, SeveralError
from rslctl.profile import reader, writer, zynqmp
from rslctl.profile.cores import BITS_32, CORES
from rslctl.profile.model import (
    STARTS,
    Board,
    Doorbell,
    Fifos,
    Ipi,
    Link,
    NodeRef,
    Remoteproc,
    RemoteSide,
    Transport,
)
from rslctl.profile.socs import Agent, At, Bells
from rslctl.profile.writer import Comments
from rslctl.region import Region

#: The bytes of a DMA pool for a driver that needs one.
_POOL = 0x100000

#: What the messages of the reader call the text of a proposal.
_PROPOSED = "the proposed profile"


@dataclass(frozen=True)
class Proposal:
    """A proposed profile."""

    #: The text of the profile; "" if no remote can have a link.
    text: str
    #: The names of the links.
    links: tuple[str, ...]
    #: Why remotes have none, by their names.
    refused: dict[str, str]

    def refusals(self) -> list[str]:
        """Return why remotes have no link, one line for each reason."""
        return _refusals(self.refused)


@dataclass(frozen=True)
class _Candidate:
    """A link that may do, what the board needs for it, and what is to be said of it."""

    link: Link
    disable: tuple[NodeRef, ...] = ()
    enable: tuple[NodeRef, ...] = ()
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def propose(tree: Tree, size: int, running: Running) -> Proposal:
    """Propose a profile for the board of *tree* with shared memories of *size* bytes.

    Links that the tree has already, by the names that they get here, keep their memory and their
    DMA pools. The profile is for the tree without them, too.

    Raises:
        RslError: the tree is no board's, or knows no remote.
    """
    return _Proposer(tree, size, running).propose()


class _Proposer:
    """The making of one proposal."""

    def __init__(self, given: Tree, size: int, running: Running) -> None:
        conflicts.check_kind(given)
        self._present = merged_links.find(given)
        self._tree = tree = merged_links.without(given)
        self._size = size
        self._running = running
        self._holes = Holes(tree, running, size)
        self._board = Board(
            name="proposed",
            description=_description(tree),
            compatible=tuple(tree.texts("/", "compatible")[:1]),
            links=(),
            cells=(tree.cell("/", "#address-cells", 2), tree.cell("/", "#size-cells", 1)),
        )
        self._tables: dict[tuple[str, str], tuple[str, ...]] = {}

    def propose(self) -> Proposal:
        known = remotes.find(self._tree, self._running.remotes)
        if not known:
            raise RslError(f"{self._tree.source}: {self._unknown()}", hint=_HINT)
        refused = {}
        for remote in known:
            if why := self._add(remote):
                refused[remote.name] = why
        names = tuple(link.name for link in self._board.links)
        text = self._text(self._board, refused) if names else ""
        return Proposal(text, names, refused)

    def _unknown(self) -> str:
        names = ", ".join(self._tree.texts("/", "compatible")) or "no board"
        kind = remotes.soc(self._tree)
        if kind:
            return f"{names}: all cores of this SoC are Linux's"
        return f"knows no remote: it is for {names}, and has no remoteproc node"

    def _add(self, remote: Known) -> str:
        """Add a link for a remote to the board; return why not, "" if it was added."""
        if remote.refused:
            return remote.refused
        reasons: list[str] = []
        for way in self._ways(remote):
            try:
                why = self._take(way())
            except RslError as error:
                why = str(error)
            if not why:
                return ""
            reasons.append(why)
        return reasons[0] if reasons else self._silent(remote)

    def _silent(self, remote: Known) -> str:
        """Why there is no way at all to ring a remote."""
        if isinstance(remote.by, At):
            return f"the tree has no mailbox at {remote.by.address:#x}"
        return "all that can ring it is used by other links"

    def _take(self, candidate: _Candidate) -> str:
        """Make the board the one with the candidate, if it is accepted; return why not."""
        board, name = self._board, candidate.link.name
        more = dataclasses.replace(
            board,
            links=(*board.links, candidate.link),
            disable=tuple(dict.fromkeys((*board.disable, *candidate.disable))),
            enable=tuple(dict.fromkeys((*board.enable, *candidate.enable))),
        )
        if isinstance(candidate.link.by, (Doorbell, Ipi)):
            more = self._with_parent(more)
        tables = {(name, table): texts for table, texts in candidate.said.items()}
        try:
            text = self._text(more, {}, tables)
            read = reader.from_text(text, _PROPOSED, board.name)
            notes = overlay.for_base(read, overlay.STYLES[0], self._tree).notes
        except SeveralError as error:
            source = f"{self._tree.source}: "
            return "; ".join(each.removeprefix(source) for each in error.messages)
        except RslError as error:
            # The place in a text that nobody sees is of no use.
            return re.sub(rf"^{_PROPOSED}:\d+: ", "", str(error))
        # What was assumed of RAM is said with the memory.
        checked = [each.partition(f": {name}: ") for each in notes if ": ram: " not in each]
        texts = tuple(f"Look up: {text}." for _, found, text in checked if found)
        tables[name, "transport"] = (*tables.get((name, "transport"), ()), *texts)
        self._board, self._tables = more, {**self._tables, **tables}
        return ""

    def _with_parent(self, board: Board) -> Board:
        """The board with the interrupt controller, if the root of the tree does not say it."""
        tree = self._tree
        said = tree.interrupt_parent("/")
        usable = [said] if said else interrupts.parents(tree)[:1]
        return dataclasses.replace(
            board,
            interrupt_parent=None if said or not usable else node(tree, usable[0]),
            interrupt_cells=tree.cell(usable[0], "#interrupt-cells", 3) if usable else 3,
        )

    def _text(
        self,
        board: Board,
        refused: Mapping[str, str],
        tables: Mapping[tuple[str, str], tuple[str, ...]] | None = None,
    ) -> str:
        end = tuple(f"{line[:1].upper()}{line[1:]}." for line in _refusals(refused))
        more = {**self._tables, **(tables or {})}
        return writer.write(board, Comments(self._top(), (*end, *_LEFT), more))

    def _top(self) -> tuple[str, ...]:
        tree = self._tree
        return (
            f'Proposed by "rslctl boards propose" from {tree.source}.',
            "Found is what the tree says, or the running kernel. Assumed is what rslctl took. "
            "Look up is what neither tells: read it up before the first boot.",
        )

    # What rings

    def _ways(self, remote: Known) -> Iterator[Callable[[], _Candidate]]:
        """The ways to ring a remote, the most likely first; each may raise an RslError."""
        by = remote.by
        for path in self._controllers(remote):
            yield partial(self._with_mailbox, remote, path)
        if isinstance(by, Agent):
            taken = {link.by.agent for link in self._board.links if isinstance(link.by, Ipi)}
            for agent in (each for each in zynqmp.LOCAL if each not in taken):
                yield partial(self._with_agent, remote, Ipi(agent, by.number))
        elif isinstance(by, Bells):
            for doorbell, side in by.either:
                yield partial(self._with_doorbell, remote, doorbell, side, by.node)

    def _controllers(self, remote: Known) -> tuple[str, ...]:
        by, tree = remote.by, self._tree
        if remote.controllers or not isinstance(by, At):
            return remote.controllers
        return tuple(
            path
            for path in tree.nodes
            if "#mbox-cells" in tree.nodes[path]
            and any(region.base == by.address for region in tree.regions(path))
        )

    def _with_mailbox(self, remote: Known, path: str) -> _Candidate:
        tree = self._tree
        user = remote.by.user if isinstance(remote.by, At) else 0
        made = free_channels.choose(tree, path, user, self._board.links)
        status = tree.texts(path, "status")[:1]
        merged = any(path in each.controllers for each in self._present.values())
        if remote.controllers:
            said = [f"Found: {remote.node} has mboxes of {path}."]
        else:
            said = [f"Assumed: {path} is the mailbox between Linux and this core."]
        enable: tuple[NodeRef, ...] = ()
        if status not in ([], ["okay"], ["ok"], ["disabled"]):
            raise RslError(f"{path} has the status {status[0]!r}: it is other firmware's")
        # The overlay enables the cluster of FIFOs by itself.
        own = isinstance(made, Fifos)
        if status == ["disabled"]:
            said.append("Assumed: it is disabled in the tree and can be enabled.")
            enable = () if own else (node(tree, path),)
        elif status and merged and not own:
            said.append(
                "Found: the tree has a link over it already. Assumed: that link's overlay enabled "
                'it; "enable" changes nothing where it is enabled without.'
            )
            enable = (node(tree, path),)
        what = "FIFOs" if isinstance(made, Fifos) else "channels"
        said += [
            f"Found: no node of the tree uses these {what}.",
            f"Look up: the {what} that the remote's program uses; it has to use these.",
        ]
        if isinstance(made, Fifos):
            said.append("Assumed: Linux is this user, as in the sub-nodes of TI's trees.")
        return self._candidate(remote, made, said, enable=enable)

    def _with_agent(self, remote: Known, ipi: Ipi) -> _Candidate:
        said = [
            f"Found: no node of the tree has the IPI agent {ipi.agent}.",
            "Look up: the agents of the remote's program, and whether the programmable logic uses "
            "this one.",
        ]
        return self._candidate(remote, ipi, said)

    def _with_doorbell(
        self, remote: Known, doorbell: Doorbell, side: RemoteSide, owner: str
    ) -> _Candidate:
        """*owner* is a compatible of the node that has the registers; "" if none has them."""
        tree = self._tree
        block = Region(doorbell.register, doorbell.size)
        owners = [
            path
            for path in tree.nodes
            if owner in tree.texts(path, "compatible")
            and any(region.contains(block) for region in tree.regions(path))
        ]
        if owner and not owners:
            raise RslError(f"the tree has no {owner} with {doorbell.register:#x}")
        said = ["Assumed: these registers and interrupts are as on every such SoC, and free."]
        said += [f"Found: {path}, which the link takes over." for path in owners]
        disable = tuple(node(tree, path) for path in owners)
        return self._candidate(remote, doorbell, said, disable=disable, side=side)

    # The link

    def _candidate(
        self,
        remote: Known,
        by: Transport,
        said: list[str],
        *,
        disable: tuple[NodeRef, ...] = (),
        enable: tuple[NodeRef, ...] = (),
        side: RemoteSide | None = None,
    ) -> _Candidate:
        link = [f"Found: remoteproc node {remote.node}."] if remote.node else []
        if name := self._running.remotes.get(remote.node):
            link = [f"Found: {name} of the running kernel, {remote.node}."]
        link += [f"Look up: {remote.note}."] * bool(remote.note)
        if not remote.core:
            link.append("Assumed: it reaches 32-bit addresses, as Linux sees them.")
        memory, about = self._place(remote, self._size)
        kind = "doorbell" if isinstance(by, Doorbell) else "mailbox"
        core = remote.core
        # The reader takes the core of an R5 of a ZynqMP from its agent.
        own = RemoteSide(core=core) if core and not isinstance(by, Ipi) else None
        made = Link(remote.name, memory, None, {kind: by}, kind, side or own)
        boots, how = self._remoteproc(remote, memory)
        return _Candidate(
            dataclasses.replace(made, remoteproc=boots),
            disable,
            enable,
            {
                "link": tuple(link) + (() if boots else tuple(how)),
                "memory": tuple(about),
                "transport": tuple(said),
                "remote": (self._core(remote),),
                "remoteproc": tuple(how),
            },
        )

    def _core(self, remote: Known) -> str:
        names = self._tree.texts(remote.node, "compatible") if remote.node else []
        if remote.core and set(names) & set(CORES[remote.core].compatibles):
            return f"Found: the core, by the compatible of its node, {names[0]}."
        return "Assumed: the core of this SoC, which says what memory it reaches."

    def _remoteproc(self, remote: Known, memory: Region) -> tuple[Remoteproc | None, list[str]]:
        """What boots the remote, and what is to be said of it."""
        tree, path = self._tree, remote.node
        if not path:
            return self._cluster(remote)
        names = tree.texts(path, "compatible")
        binding = next(
            (remoteproc.BINDINGS[each] for each in names if each in remoteproc.BINDINGS), None
        )
        said = ['Look up: firmware = "FILE" below /lib/firmware, if it is not the kernel\'s name.']
        if tree.idle(path):
            said.append("Assumed: the node is disabled in the tree and can be enabled.")
        pool = None
        if binding and binding.pool and not tree.cells(path, "memory-region"):
            present = self._present.get(remote.name)
            pool = (present and present.pool) or self._place(remote, _POOL, (memory,))[0]
            said.append(
                "Found: the node has no regions. Assumed: a DMA pool, which its driver needs."
            )
        mode = ""
        if binding and binding.one_cluster:
            mode = self._mode(parent(path), binding.mode, dict(binding.modes))
            said.append(
                "Found: the mode of the cluster that is enabled in the tree."
                if not tree.idle(path)
                else "Assumed: the mode of this cluster."
            )
        return Remoteproc(node(tree, path), "", STARTS[0], mode, dma_pool=pool), said

    def _mode(self, cluster: str, key: str, modes: dict[str, int]) -> str:
        number = self._tree.cell(cluster, key, 1)
        return next((name for name, each in modes.items() if each == number), "")

    def _cluster(self, remote: Known) -> tuple[Remoteproc | None, list[str]]:
        """The R5 cluster of a ZynqMP, which the overlay adds to a tree that has none."""
        tree = self._tree
        number = r5_cluster.NUMBERS.get(remote.core)
        if number is None or tree.find(r5_cluster.FIRMWARE) is None:
            said = "Look up: what boots the remote; the tree has no remoteproc node for it."
            return None, [said]
        shape = r5_cluster.CLUSTERS["split"]
        made = NodeRef(paths=(f"/{shape.name}/r5f@{number}",))
        said = "Assumed: the node of Linux's own trees, in split mode; the overlay adds it."
        return Remoteproc(made, "", STARTS[0], "split"), [said]

    def _place(
        self, remote: Known, size: int, others: tuple[Region, ...] = ()
    ) -> tuple[Region, list[str]]:
        """Return memory for a link, and what is to be said of it.

        Raises:
            RslError: there is none.
        """
        present = self._present.get(remote.name)
        if present and not others:
            return present.memory, ["Found: the memory of the link that the tree has already."]
        ranges = CORES[remote.core].ranges if remote.core else BITS_32
        links = [region for link in self._board.links for _, region in link.regions()]
        kept = [each.memory for each in self._present.values()]
        kept += [each.pool for each in self._present.values() if each.pool]
        return self._holes.find(size, ranges, [*links, *kept, *others])


#: What a proposal leaves out.
_LEFT = (
    "Left out: [link.virtio], the devices that the daemon serves, and [link.firmware], memory for "
    "the remote's program beside what its node has: see the reference of board profiles.",
)

_HINT = "docs/how-to/new-board.md says how to write a profile by hand"


def _refusals(refused: Mapping[str, str]) -> list[str]:
    return [
        f"no link for {', '.join(name for name, each in refused.items() if each == why)}: {why}"
        for why in dict.fromkeys(refused.values())
    ]


def _description(tree: Tree) -> str:
    text = "".join(tree.texts("/", "model")[:1] or tree.texts("/", "compatible")[:1])
    return f"{''.join(filter(str.isprintable, text))} (proposed)"
