# SPDX-License-Identifier: BSD-3-Clause
"""The tree that a boot loader hands to the kernel: found in a directory, other overlays applied."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from pathlib import Path

from rslctl.boot.view import Part, View
from rslctl.devicetree import overlay
from rslctl.devicetree.tree import Tree, from_blob
from rslctl.errors import RslError


@dataclass(frozen=True)
class Stack:
    """A tree, and the overlays that the boot loader applies to it beside ours."""

    tree: Part
    overlays: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        """The file name of the tree."""
        return posixpath.basename(self.tree.path)

    @property
    def source(self) -> str:
        """The name of the stack in messages."""
        return " + ".join(
            [self.tree.path, *(posixpath.basename(each.path) for each in self.overlays)]
        )

    def digest(self) -> str:
        """The SHA-256 digest of the tree and the overlays."""
        return _joint([_digest(each.data) for each in (self.tree, *self.overlays)])

    def applied(self) -> Tree:
        """The tree with the overlays applied.

        Raises:
            RslError: the tree is damaged, or an overlay cannot be applied.
        """
        blob = self.tree.data
        tree = from_blob(blob, self.tree.path)
        for each in self.overlays:
            try:
                blob = overlay.apply(blob, each.data)
            except RslError as error:
                symbols = "" if tree.labels else ", which has no __symbols__ (dtc -@)"
                raise RslError(
                    f"{each.path} cannot be applied to {self.tree.path}{symbols}: "
                    f"{str(error).rpartition(': ')[2]}",
                    hint="the boot loader is told to apply it beside ours, and at boot a failure "
                    "damages the tree: take it out of the boot loader's configuration",
                ) from error
        return from_blob(blob, self.source, overlay.kernel_of(Path(self.tree.path)))


def digest(stacks: list[Stack]) -> str:
    """The SHA-256 digest of several stacks; "" if there is none."""
    return _joint(sorted(each.digest() for each in stacks)) if stacks else ""


def _joint(digests: list[str]) -> str:
    return _digest(" ".join(digests).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def root(part: Part) -> Tree:
    """The tree of a blob, of which only the root is looked at."""
    return from_blob(part.data, part.path)


def matching(view: View, parts: list[Part]) -> list[Part]:
    """Those of *parts*, trees or images of trees, that the machine boots.

    Those whose names were used before; else those that have the compatible names of the running
    machine, if it is the board; else those of the board. Those that differ in "model" only are
    told apart by the running machine's.
    """
    named = [part for part in parts if posixpath.basename(part.path) in view.trees]
    if named or not view.compatible:
        return named
    running = view.running("compatible")
    if not set(running) & set(view.compatible):
        running = []
    # Parsing takes long, so what cannot match is left out before.
    wanted = [f"{name}\0".encode() for name in running or view.compatible]
    found = [part for part in parts if any(name in part.data for name in wanted)]
    trees = [(part, root(part)) for part in found]
    fitting = [
        (part, tree)
        for part, tree in trees
        if set(tree.texts("/", "compatible")) & set(view.compatible)
    ]
    for key in ("compatible", "model") if running else ():
        now = view.running(key)
        fitting = [each for each in fitting if each[1].texts("/", key) == now] or fitting
    return [part for part, _ in fitting]


def find(view: View, directories: list[str]) -> list[Part]:
    """The trees that the machine may boot of those in the first of *directories* that exists."""
    for directory in directories:
        if not view.host.is_directory(directory):
            continue
        found = []
        for below, files, _ in view.host.walk(directory):
            names = [name for name in files if name.endswith(".dtb")]
            names = [name for name in names if name in view.trees] or names
            found += [part for name in names if (part := view.part(f"{below}/{name}"))]
        # Several files may be the same tree.
        first: dict[bytes, Part] = {}
        for part in found:
            first.setdefault(part.data, part)
        return matching(view, list(first.values()))
    return []
