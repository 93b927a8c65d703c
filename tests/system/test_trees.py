# SPDX-License-Identifier: BSD-3-Clause
"""Links over whatever each of Debian's device trees has, merged into it: make check-trees.

The tests are left out unless TREES is set: there are some 6,000 trees.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from rslctl.devicetree import (
    blob,
    fifos,
    interrupts,
    mailbox_channels,
    mailbox_styles,
    overlay,
    tree,
)
from rslctl.devicetree.memory import Memory, without
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError
from rslctl.profile import model
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.amp import build, dtbs

KERNELS = ("6.1", "6.12", "sid", *dtbs.IMAGES)
PARTS = 4

#: What came of each kernel's trees is written here.
REPORTS = build.BUILD / "trees"

#: The most seconds of processor time for checking and merging an overlay.
SLOW = 2

needs_trees = pytest.mark.skipif("TREES" not in os.environ, reason="make check-trees sets TREES")


def spent() -> float:
    """The processor time of this process and of those that it ran, in seconds."""
    return sum(os.times()[:4])


def room(base: Tree, size: int) -> Region | None:
    """A free region; a tree that does not know its RAM gets one far up."""
    memory = Memory(base)
    if not memory.ram:
        start = memory.starts[-1] if memory.starts else 0
        rooms = [Region(start, 0xC0000000 - start)] if start < 0xB0000000 else []
    else:
        rooms = memory.ram
    taken = [
        region
        for path in base.nodes
        if base.texts(path, "device_type") != ["memory"] and not base.idle(path)
        for region in base.regions(path)
    ]
    pools = [each for pool in memory.pools for each in pool.ranges]
    for free in (without(rooms, [*taken, *memory.fixed, *pools]), without(rooms, taken)):
        for each in reversed(free):
            at = (each.end - size) // 0x100000 * 0x100000
            if at >= each.base and not memory.displaced([Region(at, size)]):
                return Region(at, size)
    return None


def doorbell(base: Tree, memory: Region) -> tuple[model.Doorbell, NodeRef | None] | None:
    """A doorbell by a free interrupt, and the interrupt-parent that the profile has to give."""
    root = base.interrupt_parent("/")
    users = Counter(base.interrupt_parent(path) for path in base.nodes if path != "/")
    parents = [root] if root else [path for path, _ in users.most_common() if path]
    parents = [path for path in parents if not interrupts.problem(base, path)]
    if not parents:
        return None
    used = {
        interrupts.number(each)
        for path in base.nodes
        if not base.idle(path)
        for each in base.interrupts(path)
    }
    free = next(number for number in range(1, 1000) if number not in used)
    taken = [region for path in base.nodes for region in base.regions(path)]
    end = 1 << (40 if base.cell("/", "#address-cells", 2) > 1 else 32)
    rooms = without([Region(0x10000, end - 0x10000)], [*taken, memory])
    block = next(Region(each.base, 4) for each in rooms if not each.base % 4 and each.size >= 4)
    parent = None if root else NodeRef(paths=(parents[0],))
    return model.Doorbell(block.base, (1,), (free,), "level-high"), parent


def mailboxes(base: Tree) -> Iterator[model.Mailbox]:
    """A pair of free channels, or of FIFOs, of each mailbox controller."""
    for path, properties in base.nodes.items():
        if "#mbox-cells" not in properties:
            continue
        node = NodeRef(paths=(path,))
        if "ti,mbox-num-fifos" in properties:
            uses = list(fifos.uses(base, path))
            taken = {use.fifo for use in uses}
            free = [n for n in range(base.cell(path, "ti,mbox-num-fifos", 0)) if n not in taken]
            users = [use.user for use in uses if not use.remote] or [0]
            if len(free) > 1 and base.interrupts(path):
                yield model.Fifos(node, free[0], free[1], users[0])
            continue
        busy = mailbox_channels.users(base, path)
        every = itertools.islice(mailbox_channels.every(base, path), 4096)
        styles = [
            (each, mailbox_styles.find(base, path, each))
            for each in every
            if mailbox_channels.identity(base, path, each) not in busy
        ]
        sides = [
            [
                each
                for each, style in styles
                if style and not style.refused and style.way in ("both", way)
            ]
            for way in ("kicks", "notifications")
        ]
        for tx, rx in itertools.product(sides[0][:4], sides[1]):
            one, other = (mailbox_channels.identity(base, path, each) for each in (tx, rx))
            payloads = {mailbox_styles.find(base, path, each) for each in (tx, rx)}
            if one != other and len({style.payload for style in payloads if style}) == 1:
                yield model.Channels(node, (tx,), (rx,))
                break
    if any("zynqmp" in name for name in base.texts("/", "compatible")):
        yield model.Ipi(7, 1)


def boards(base: Tree) -> Iterator[model.Board]:
    """A board for each way to notify that the tree has."""
    memory = room(base, 0x100000)
    names = tuple(base.texts("/", "compatible"))
    if memory is None or not names:
        return
    rings = doorbell(base, memory)
    # Like a doorbell, an IPI agent has an interrupt.
    above = rings[1] if rings else None
    found: list[tuple[model.Transport, NodeRef | None]] = [
        (each, above if isinstance(each, model.Ipi) else None) for each in mailboxes(base)
    ]
    found += [rings] if rings else []
    for transport, parent in found:
        kind = "doorbell" if isinstance(transport, model.Doorbell) else "mailbox"
        link = model.Link("r0", memory, None, {kind: transport}, kind)
        enable = (transport.controller,) if isinstance(transport, model.Channels) else ()
        yield model.Board("swept", "", names, (link,), (), enable, interrupt_parent=parent)


def check(board: model.Board, base: Tree, merged: Tree) -> None:
    """Check that the merged tree has the base, the link, and every reference as it has to be."""
    (link,) = board.links
    by = link.by
    touched = {base.find(node) for node in board.enable}
    touched |= {base.find(by.controller)} if isinstance(by, model.Fifos) else set()
    for path, properties in base.nodes.items():
        now = dict(merged.nodes[path])
        if path in ("/", "/reserved-memory") or path in touched:
            for key in ("#address-cells", "#size-cells", "ranges", "status"):
                now.pop(key, None)
        else:
            assert properties.get("status") == now.get("status"), path
        for key, value in properties.items():
            assert now.get(key, value) == value, f"{path} {key}"
        # The labels of the link's own nodes are told to later overlays.
        labels = {"r0_memory", "r0_mailbox", "r0_fifos"}
        added = labels if path == "/__symbols__" else {"phandle"}
        assert now.keys() - properties.keys() <= added, path
    assert len(set(merged.phandles)) == len(merged.phandles)
    place = f"/reserved-memory/memory@{link.memory.base:x}"
    assert merged.regions(place) == merged.regions(overlay.memory_path(link)) == [link.memory]
    assert "no-map" in merged.nodes[place]
    (client,) = [path for path in merged.nodes if merged.texts(path, "label") == ["r0"]]
    (number,) = merged.cells(client, "memory-region")
    assert merged.phandles[number] == place
    if isinstance(by, model.Doorbell):
        (interrupt,) = merged.interrupts(client)
        parent = board.interrupt_parent
        wanted = base.find(parent) if parent else base.interrupt_parent("/")
        assert interrupt.controller == wanted
        assert interrupts.number(interrupt) == by.spis[0]
        assert merged.regions(client) == [Region(by.register, by.size)]
        return
    channels = merged.specifiers(client, "mboxes", "#mbox-cells")
    if isinstance(by, model.Channels):
        controller = base.find(by.controller)
        assert channels == [(controller, by.tx[0]), (controller, by.rx[0])]
        assert merged.enabled(controller or "")
    elif isinstance(by, model.Fifos):
        ((cluster, (node,)),) = channels
        child = merged.phandles[node]
        assert cluster == base.find(by.controller) == tree.parent(child)
        index = merged.cells(child, "ti,mbox-rx")[1]
        assert index < len(merged.interrupts(cluster))
        uses = fifos.uses(base, cluster)
        users = [use for use in uses if use.user == by.user and not use.remote]
        assert not users or index in {use.interrupt for use in users}
    else:
        mailbox = channels[0][0]
        assert channels == [(mailbox, (0,)), (mailbox, (1,))]
        assert merged.children(tree.parent(mailbox)) == [mailbox]


def with_nops(data: bytes) -> bytes:
    """The blob with an FDT_NOP before each token, as libfdt leaves them where it deletes."""
    at, size = struct.unpack_from(">I", data, 8)[0], struct.unpack_from(">I", data, 36)[0]
    end, made = at + size, b""
    while at < end:
        (token,) = struct.unpack_from(">I", data, at)
        length = 4
        if token == 3:
            length += 8 + (struct.unpack_from(">I", data, at + 4)[0] + 3) // 4 * 4
        elif token == 1:
            length += (data.index(b"\0", at + 4) - at - 4) // 4 * 4 + 4
        made += struct.pack(">I", 4) + data[at : at + length]
        at += length
        if token == 9:
            break
    header = list(struct.unpack_from(">10I", data))
    old, header[1], header[2], header[9] = data[: header[1]], len(data) + len(made), 0, len(made)
    header[2] = -(-len(old) // 4) * 4
    header[1] = header[2] + len(made)
    return (struct.pack(">10I", *header) + old[40:]).ljust(header[2], b"\0") + made


def damage(data: bytes, source: str, dice: random.Random) -> None:
    """A damaged blob is refused, or read; it makes no traceback."""
    cut = data[: dice.randrange(len(data))]
    at = dice.randrange(len(data))
    flipped = data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]
    for each in (cut, flipped):
        try:
            read = tree.from_blob(each, source)
            for board in itertools.islice(boards(read), 1):
                overlay.for_base(board, "rsl", read)
        except RslError as error:
            assert str(error).startswith(source)


@needs_trees
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_link_merges_into_every_tree_or_is_refused_with_a_reason(kernel: str, part: int) -> None:
    count: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    slowest, wrong = (0.0, ""), []
    for path in dtbs.every(kernel)[part::PARTS]:
        data = path.read_bytes()
        count["trees"] += 1
        try:
            base = tree.from_blob(data, str(path))
            assert blob.read(with_nops(data), "nops") == blob.read(data, "plain")
            damage(data, str(path), random.Random(path.name))  # noqa: S311
            for board in boards(base):
                begin = spent()
                kind = type(board.links[0].by).__name__
                try:
                    made = overlay.for_base(board, "rsl", overlay.read_base(path)[0])
                    result = overlay.merge(made, data)
                    count[f"merged {kind}"] += 1
                except SeveralError as error:
                    count[f"refused {kind}"] += 1
                    found = error.messages[0].removeprefix(f"{path}: ")
                    refused[f"{found.split(':')[0]}: {found[:160]} ({path.name})"] += 1
                    continue
                finally:
                    slowest = max(slowest, (spent() - begin, f"{path.name} {kind}"))
                check(board, base, tree.from_blob(result, "merged"))
        except Exception as error:  # all trees are tried before any is reported
            wrong.append(f"{path}: {type(error).__name__}: {error}"[:500])
    lines = [f"{kernel} {part}: {dict(count)}, slowest {slowest[0]:.2f} s ({slowest[1]})"]
    lines += [f"  {times} {text}" for text, times in refused.most_common()]
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{kernel}-{part}.txt").write_text("\n".join([*lines, *wrong, ""]))
    assert wrong == []
    assert slowest[0] < SLOW
    assert count["trees"] > 0
