# SPDX-License-Identifier: BSD-3-Clause
"""The remotes that a tree knows: those of its SoC, and those that have a remoteproc node."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rslctl.devicetree import remoteproc
from rslctl.devicetree.tree import Tree, parent
from rslctl.profile import socs
from rslctl.profile.cores import CORES
from rslctl.profile.socs import Agent, At, Bells, Soc

#: The names of the core by the compatible of its node; some cores of a kind have numbers.
_CORES = {compatible: name for name, core in CORES.items() for compatible in core.compatibles}

#: Why a remote of a compatible cannot have a link.
_REFUSED = (
    (
        re.compile(r"ti,[a-z0-9]+-(pru|rtu|tx-pru)"),
        "a PRU has no mailbox; it rings by its interrupt controller, which has no driver for links",
    ),
    (re.compile(r"ti,hsm-m4fss"), "the security module is that of TI's firmware"),
    (re.compile(r"fsl,imx\w+-sof"), "its program is that of Sound Open Firmware"),
    (re.compile(r"ti,am3352-wkup-m3|ti,am4372-wkup-m3"), "its program is Linux's own, for sleep"),
)

_NAME_MAX = 31


@dataclass(frozen=True)
class Known:
    """A remote that a tree knows."""

    #: The name that its link gets.
    name: str
    #: A key of :data:`cores.CORES`; "" if it is not known.
    core: str
    #: What rings it; None if nothing is known, or it cannot have a link.
    by: At | Agent | Bells | None
    #: The path of the node by which remoteproc boots it; "" if the tree has none.
    node: str = ""
    #: The controllers of the node's mboxes.
    controllers: tuple[str, ...] = ()
    #: What a user has to know of it.
    note: str = ""
    #: Why it cannot have a link, if that is known.
    refused: str = ""


def soc(tree: Tree) -> Soc | None:
    """Return the SoC of a tree; None if the table does not have it."""
    return socs.find(tree.texts("/", "compatible"))


def find(tree: Tree, booted: Collection[str] = ()) -> list[Known]:
    """Return the remotes that a tree knows, those of its SoC first.

    *booted* are the nodes of which the running kernel has a remote processor.
    """
    nodes = [path for path in tree.nodes if path in booted or _is_remote(tree, path)]
    nodes.sort(key=lambda path: _rank(tree, path))
    found = []
    kind = soc(tree)
    for row in kind.remotes if kind else ():
        node = next((path for path in nodes if _fits(tree, path, row)), "")
        found.append(_of_soc(tree, row, node))
        # A cluster has a node for each of its modes: the other nodes are the same core.
        same = tree.texts(node, "compatible") if node else []
        nodes = [
            path
            for path in nodes
            if not (node and tree.texts(path, "compatible") == same and _fits(tree, path, row))
        ]
    taken = {each.name for each in found}
    for path in sorted(nodes):
        found.append(_of_node(tree, path, taken))
        taken.add(found[-1].name)
    return found


def _is_remote(tree: Tree, path: str) -> bool:
    names = tree.texts(path, "compatible")
    known = {*_CORES, *remoteproc.BINDINGS, *_of_rows()}
    return bool(known & set(names)) or any(_refused(name) for name in names)


def _of_rows() -> Iterator[str]:
    """The compatibles of the nodes that the table of SoCs has itself."""
    yield from (name for kind in socs.SOCS for row in kind.remotes for name in row.compatibles)


def _refused(compatible: str) -> str:
    return next((why for kind, why in _REFUSED if kind.fullmatch(compatible)), "")


def _rank(tree: Tree, path: str) -> tuple[bool, bool, str]:
    """The order in which nodes are taken: those in use, then a cluster in split mode."""
    return tree.idle(path), "split" not in path, path


def _fits(tree: Tree, path: str, row: socs.Remote) -> bool:
    """Whether the node at *path* is that of a row of the table."""
    own = row.compatibles or (CORES[row.core].compatibles if row.core else ())
    return bool(set(own) & set(tree.texts(path, "compatible"))) and (
        row.unit is None or _unit(path) == row.unit
    )


def _unit(path: str) -> int | None:
    """The unit address in the name of a node; in AMD's own trees the number behind "r5f_"."""
    found = re.search(r"@([0-9a-f]+)$|r5f_(\d)$", path)
    return int(found[1] or found[2], 16) if found else None


def _controllers(tree: Tree, path: str) -> tuple[str, ...]:
    entries = tree.specifiers(path, "mboxes", "#mbox-cells")
    return tuple(dict.fromkeys(target for target, _ in entries if target))


def _of_soc(tree: Tree, row: socs.Remote, node: str) -> Known:
    controllers = _controllers(tree, node) if node else ()
    known = Known(row.name, row.core, row.by, node, controllers, row.note)
    # Without a table of its regions rslctl cannot enable a node, and nothing else boots the core.
    if row.by_node and not node:
        why = f"the tree has no node {' or '.join(row.compatibles)} that boots it"
        return dataclasses.replace(known, refused=why)
    if row.by_node and tree.idle(node):
        return dataclasses.replace(known, refused=f"{node}, which boots it, is disabled")
    return known


def _of_node(tree: Tree, path: str, taken: Collection[str]) -> Known:
    names = tree.texts(path, "compatible")
    why = next((text for name in names if (text := _refused(name))), "")
    if not why and not tree.enabled(path) and not tree.idle(path):
        why = f"the status of {path} leaves it to other firmware"
    if not why and tree.idle(path) and not set(names) & remoteproc.BINDINGS.keys():
        why = f"{path}, which boots it, is disabled"
    core = next((_CORES[name] for name in names if name in _CORES), "")
    controllers = _controllers(tree, path)
    if not why and not controllers:
        why = f"{path} has no mboxes, and {', '.join(names)} is not in the table of SoCs"
    made = _name(path, taken)
    return Known(made, core, None, path, controllers, refused=why)


def _name(path: str, taken: Collection[str]) -> str:
    """A link's name made from that of a node: "r5f@41000000" gives "r5f_41000000"."""
    last = path.rpartition("/")[2] or parent(path)
    plain = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")
    plain = plain if plain[:1].isalpha() else f"r{plain}"
    made, number = plain[: _NAME_MAX - 3], 1
    while made in taken:
        number += 1
        made = f"{plain[: _NAME_MAX - 3]}_{number}"
    return made
