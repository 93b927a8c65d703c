# SPDX-License-Identifier: BSD-3-Clause
"""What is installed for boot loaders, and whether it still fits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rslctl.boot import loaders, transaction, trees
from rslctl.boot.entries import Tree
from rslctl.boot.transaction import Record
from rslctl.boot.trees import Stack
from rslctl.boot.view import Loader, Part, View
from rslctl.devicetree import overlay
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.setup.checks import Finding


@dataclass(frozen=True)
class How:
    """How to install; None means what the machine has."""

    #: A loader's name, or NAME:FILE with its configuration file.
    loader: str | None = None
    #: The tree on the machine that is replaced by the merged one.
    dtb: str | None = None
    #: The base tree to check against, if the machine does not tell which it is.
    base: Path | None = None
    #: By what name or file the board can be loaded again; "" means its own name.
    board: str = ""
    transport: str | None = None


def file_of(name: str) -> str:
    """The file name of a board's overlay in the boot loader's directory."""
    return f"rslctl-{name}.dtbo"


def again(record: Record) -> How:
    """How an overlay was installed, to install it again."""
    about = record.about
    merged = about["loader"] == Tree.name
    return How(
        None if merged else f"{about['loader']}:{about['config']}",
        about["config"] if merged else None,
        board=about["board"],
        transport=about["transport"],
    )


def anew(host: Host, record: Record) -> str:
    """The commands that fit an overlay anew over which others are: those have to go first."""
    over = _topmost_first(host, record)
    uninstalled = [_command(host, "uninstall", "--board", each.name) for each in over]
    own = _command(host, "install", *_board(record))
    installed = [_command(host, "install", *_board(each), *_how(each)) for each in reversed(over)]
    return "; ".join([*uninstalled, own, *installed])


def without_those_over(host: Host, record: Record) -> str:
    """The commands that uninstall what is over an overlay."""
    over = _topmost_first(host, record)
    return "; ".join(_command(host, "uninstall", "--board", each.name) for each in over)


def _topmost_first(host: Host, record: Record) -> list[Record]:
    over = transaction.over(host, record.name)
    return sorted(over, key=lambda each: len(transaction.over(host, each.name)))


def _command(host: Host, *words: str) -> str:
    root = () if host.live else ("--root", str(host.root))
    return shlex.join(["rslctl", "overlay", *words, *root])


def _board(record: Record) -> list[str]:
    transport = record.about["transport"]
    return ["--board", record.about["board"], *(["--transport", transport] if transport else [])]


def _how(record: Record) -> list[str]:
    how, given = again(record), record.about["given"]
    if how.dtb is not None:
        return ["--dtb", how.dtb]
    return ["--loader", str(how.loader), *(["--base", given] if given else [])]


def loader_of(view: View, how: How) -> Loader:
    return Tree(view, how.dtb) if how.dtb is not None else loaders.choose(view, how.loader)


def stacks_of(loader: Loader, file: str) -> list[Stack]:
    found = loader.trees()
    overlays = tuple(loader.overlays(file)) if found else ()
    return [Stack(tree, overlays) for tree in found]


def given_tree(path: Path) -> Part:
    return Part(str(path), overlay.read_base(path)[1])


def stale(host: Host, record: Record) -> str:
    """Why an installed overlay does not fit any more: its base has changed; "" if it has not.

    Also if a file that has it loaded was written anew, so that it is not loaded any more.
    """
    about = record.about
    if not record.done:
        return ""
    over = transaction.over(host, record.name)
    view = View(host, record, trees=tuple(about["trees"]), over=over)
    try:
        loader = loader_of(view, again(record))
        stacks = stacks_of(loader, file_of(record.name))
        overlays = tuple(loader.overlays(file_of(record.name)))
        target = view.resolve(loader.target())
    except RslError as error:
        return f"the tree that is booted is not found any more: {error}"
    if target != about["target"]:
        return f"the boot loader reads {target} now"
    if reason := _unloaded(host, record, over):
        return reason
    if not about["base"]:
        return ""
    if not stacks and about["given"]:
        # Nothing but --base told the tree.
        given = Path(about["given"])
        stacks = [Stack(given_tree(given), overlays)] if _is_there(given) else []
        if not stacks:
            return ""
    if not stacks:
        return f"the tree {', '.join(about['trees'])} is not there any more"
    if about["base"] == trees.digest(stacks):
        return ""
    return f"{stacks[0].source} has changed since the overlay was fitted to it"


def _unloaded(host: Host, record: Record, over: tuple[Record, ...]) -> str:
    """Why what was written is not loaded any more; "" if it is."""
    if lost := _lost(host, record, over):
        return f"{', '.join(lost)}: written anew or removed since"
    if not is_loaded(host, record, over):
        return f"{record.about['config']} does not have it loaded any more"
    return ""


def is_loaded(host: Host, record: Record, over: tuple[Record, ...]) -> bool:
    """Whether the configuration, as it is now but for what is *over* it, has the overlay loaded."""
    try:
        present = replace(record, changes=())
        view = View(host, present, over=over)
        return loader_of(view, again(record)).loads(file_of(record.name))
    except RslError:
        return False


def _is_there(path: Path) -> bool:
    """Whether a file exists, and in a directory that this process may look into."""
    try:
        return path.exists()
    except OSError:
        return False


def _lost(host: Host, record: Record, over: tuple[Record, ...]) -> list[str]:
    """The files that do not have the overlay, or do not have it loaded, any more."""
    name = file_of(record.name).removesuffix(".dtbo").encode()
    found = []
    for each in record.changes:
        now = transaction.beneath(host, over, each.path)
        same = transaction.digest(now) == each.after
        gone = now is None or each.generated or (each.before and name not in now)
        if gone and not same:
            found.append(each.path)
    return found


def state(host: Host, record: Record) -> str:
    """The state of an installation."""
    if not record.done:
        return "unfinished"
    if stale(host, record):
        return "stale"
    over = transaction.over(host, record.name)
    return "installed" if transaction.intact(host, record, over) else "changed"


def findings(host: Host) -> Iterator[Finding]:
    """The installed overlays that are stale, or cannot be looked at."""
    for name in transaction.names(host):
        try:
            record = transaction.load(host, name)
        except RslError as error:
            yield Finding("stale", "unknown", f"cannot tell: {error}", error.hint)
            continue
        if record and (why := stale(host, record)):
            over = transaction.over(host, name)
            how = anew(host, record) if over else "rslctl overlay install fits it anew"
            yield Finding(
                "stale",
                "warning",
                f"the overlay of board {name!r} for {record.about['loader']} is stale: {why}",
                f"before the next boot: {how}",
            )
