# SPDX-License-Identifier: BSD-3-Clause
"""Install overlays for the boot loader, fit them anew, and uninstall them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rslctl.boot import transaction, trees
from rslctl.boot.installed import (
    How,
    again,
    anew,
    file_of,
    given_tree,
    is_loaded,
    loader_of,
    stacks_of,
    stale,
    without_those_over,
)
from rslctl.boot.transaction import Record
from rslctl.boot.trees import Stack
from rslctl.boot.view import Edit, Loader, View
from rslctl.devicetree import overlay, remoteproc
from rslctl.devicetree.nodes import Overlay, to_blob
from rslctl.devicetree.tree import from_machine
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.profile.model import Board

#: Called with a line for each step that is done, or would be done.
Report = Callable[[str], None]


#: What two installations have alike if they are the same.
_SAME = ("loader", "config", "target", "base", "overlay")


@dataclass(frozen=True)
class _Work:
    edit: Edit
    about: dict[str, Any]
    check: Callable[[], None]


def install(host: Host, board: Board, how: How, *, dry_run: bool, report: Report) -> bool:
    """Install the overlay of *board* for the boot loader. Returns False if it is installed already.

    An installation that is stale, or is another one of the board, is taken back for it.

    Raises:
        RslError: the overlay does not fit, the loader does not apply it, or a file cannot be
            written. What was written is taken back. Or the board's name is none for a file of a
            boot loader.
    """
    if not re.fullmatch(r"[\w.+-]+", board.name, re.ASCII):
        raise RslError(
            f"board {board.name!r}: in the lists of boot loaders its overlay would not be one file",
            hint="name the profile with letters, digits, '.', '_', '+' and '-' only",
        )
    record = transaction.load(host, board.name)
    if record and not record.done:
        report(f"{'would take' if dry_run else 'take'} back an unfinished installation")
        if not dry_run:
            _take_back(host, record, report=report)
            record = None
    over = transaction.over(host, board.name)
    view = View(host, record, board.compatible, over=over)
    if record and record.done:
        view = replace(view, trees=tuple(record.about["trees"]))
        if not (how.loader or how.dtb):
            before = again(record)
            how = replace(how, loader=before.loader, dtb=before.dtb)
    work = _work(view, board, how, report)
    if record and record.done and _is_same(host, record, work):
        return False
    if dry_run:
        _foretell(view, work, report)
        return True
    if record:
        why = stale(host, record) or "it is another one, or somebody else changed its files"
        report(f"replacing what is installed: {why}")
        _take_back(host, record, leave=True, run=False, report=report)
    _write(host, board.name, work, report, record.directories if record else ())
    return True


def _is_same(host: Host, record: Record, work: _Work) -> bool:
    """Whether *work* is what is installed; what is installed may be replaced otherwise.

    Raises:
        RslError: a file was changed and still has the overlay loaded, or is the overlay itself.
    """
    same = all(work.about[key] == record.about[key] for key in _SAME)
    over = transaction.over(host, record.name)
    if same and transaction.intact(host, record, over):
        return True
    _check_topmost(host, record, anew)
    _check_replaceable(host, record)
    return False


def _check_topmost(host: Host, record: Record, first: Callable[[Host, Record], str]) -> None:
    """Check that nothing was installed over it, which has its changes in it.

    *first* makes the commands that are to be run instead.

    Raises:
        RslError: something was.
    """
    over = transaction.over(host, record.name)
    if over:
        names = " and ".join(repr(each.name) for each in over)
        raise RslError(
            f"the overlay of board {names} was installed over that of {record.name!r}",
            hint=f"run: {first(host, record)}",
        )


def _foretell(view: View, work: _Work, report: Report) -> None:
    """Report what would be done."""
    for path, data in work.edit.files.items():
        if view.read(path) != data:
            report(f"would write {view.host.where(path)}")
    if work.edit.command:
        report(f"would run {' '.join(work.edit.command)}")


def _check_replaceable(host: Host, record: Record) -> None:
    """Check that no change of somebody else's is lost if the installation is replaced.

    Raises:
        RslError: a file was changed and still has the overlay loaded, or is the overlay itself.
    """
    name = file_of(record.name).removesuffix(".dtbo").encode()
    loaded = is_loaded(host, record, ())  # nothing is over it: _check_topmost()
    lost = [
        host.where(each.path)
        for each in transaction.foreign(host, record)
        if (now := transaction.content(host, each.path)) is not None
        and not each.generated
        and (not each.before or (name in now and loaded))
    ]
    if lost:
        raise RslError(
            f"the overlay of board {record.name!r} was installed, but somebody else changed "
            f"{', '.join(lost)} since",
            hint=f"rslctl overlay uninstall --board {record.name}, with --force if it has to be",
        )


# What is to be written


def _work(view: View, board: Board, how: How, report: Report) -> _Work:
    loader = loader_of(view, how)
    file = file_of(board.name)
    stacks = stacks_of(loader, file)
    if how.base:
        given = Stack(given_tree(how.base), tuple(loader.overlays(file)))
        if stacks and given.digest() not in [each.digest() for each in stacks]:
            report(f"note: the boot loader loads {stacks[0].tree.path}, which is not --base")
        stacks = [given]
    made = _fitted(view, board, loader, stacks, report)
    for text in dict.fromkeys(loader.notes):
        report(f"note: {text}")
    blob = to_blob(made)
    about = {
        "loader": loader.name,
        "config": loader.config,
        "target": view.resolve(loader.target()),
        "board": how.board or board.name,
        "transport": how.transport,
        "trees": [each.name for each in stacks],
        "base": trees.digest(stacks),
        "overlay": transaction.digest(blob),
        "given": str(how.base.absolute()) if how.base else "",
        "said": loader.said(),
    }
    if loader.merges:
        blob = overlay.merge(made, stacks[0].tree.data)
    edit = loader.edit(file, blob)
    files = {view.resolve(path): data for path, data in edit.files.items()}
    generated = frozenset(map(view.resolve, edit.generated))
    about["over"] = _below(view, board.name, {*files, *(each.tree.path for each in stacks)})
    about["command"] = " ".join(edit.command)
    return _Work(Edit(files, edit.command, generated), about, lambda: loader.check_installed(file))


def _below(view: View, name: str, paths: set[str]) -> list[str]:
    """The names of other installations that have changed one of *paths*."""
    records = [transaction.load(view.host, each) for each in transaction.names(view.host)]
    resolved = {view.resolve(path) for path in paths}
    return [
        each.name
        for each in records
        if each and each.name != name and resolved & {change.path for change in each.changes}
    ]


def _fitted(
    view: View, board: Board, loader: Loader, stacks: list[Stack], report: Report
) -> Overlay:
    """The overlay, fitted to the trees of which one is booted, if they are known."""
    style = overlay.STYLES[0]
    if stacks:
        applied = [each.applied() for each in stacks]
        made = [overlay.for_base(board, style, each) for each in applied]
        loader.notes += [note for each in made for note in each.notes]
        loader.notes += [
            f"{text}: its kernel does not boot this remote"
            for each in applied
            for text in remoteproc.absent(board, each)
        ]
        same = len({to_blob(each) for each in made}) == 1
        if len(stacks) > 1 and (loader.merges or not same):
            raise RslError(
                "the boot loader may load any of "
                + ", ".join(each.tree.path for each in stacks)
                + ", and the overlay differs for them",
                hint="--base FILE.dtb says which it is; in U-Boot: printenv fdtfile",
            )
        return made[0]
    if loader.merges:
        raise RslError(
            f"the tree that {loader.name} loads was not found",
            hint="--base FILE.dtb says which one to merge the overlay into",
        )
    machine = from_machine(view.host)
    mine = set(board.compatible) & set(machine.texts("/", "compatible"))
    if mine and overlay.unlike(board, machine):
        report(f"the base tree is not known from {loader.config}: the running one is taken")
        return overlay.for_base(board, style, machine)
    report(
        f"the base tree is not known from {loader.config}: the overlay was not checked "
        "against it (--base FILE.dtb does)"
    )
    return overlay.build(board)


# Writing


def _write(host: Host, name: str, work: _Work, report: Report, made: Sequence[str]) -> None:
    """Write the files. *made* are directories that rslctl made for what they replace."""
    transaction.forget(host, name)  # left over if an installation was killed
    edit = work.edit
    record = transaction.prepare(host, name, work.about, edit.files, edit.generated, made)
    if not record.changes:
        raise RslError(
            f"the overlay of board {name!r} is there already, and not by rslctl",
            hint="nothing was changed, and nothing will be uninstalled",
        )
    ran = False
    try:
        transaction.begin(host, record)
        for change in record.changes:
            host.put(change.path, edit.files[change.path])
            report(f"wrote {host.where(change.path)}")
        ran = True
        _run(host, edit.command, report)
        if host.live:
            work.check()
        transaction.finish(host, record)
    except RslError as error:
        raise _taken_back(host, record, error, run=ran, report=report) from error


def _taken_back(
    host: Host, record: Record, error: RslError, *, run: bool, report: Report
) -> RslError:
    """The error of an installation that failed, after that was taken back."""
    try:
        _take_back(host, record, run=run, report=report)
    except RslError as second:
        return RslError(
            f"{error}; and it could not be taken back: {second}",
            hint="rslctl overlay uninstall tries that again",
        )
    return RslError(f"{error}; nothing of the overlay is left", hint=error.hint)


def _run(host: Host, command: tuple[str, ...], report: Report) -> None:
    if not command:
        return
    if host.live:
        host.run(command)
        report(f"ran {' '.join(command)}")
    else:
        report(f"to do: run {' '.join(command)} in '{host.root}'")


def uninstall(host: Host, name: str, *, force: bool, dry_run: bool, report: Report) -> bool:
    """Undo the installation of board *name*. Returns False if there is none.

    Raises:
        RslError: another program changed a file since and *force* is false, or a file cannot be
            written.
    """
    record = transaction.load(host, name)
    if record is None:
        if not dry_run:
            transaction.forget(host, name)  # what a kill left of it
        return False
    if dry_run:
        for change in reversed(record.changes):
            report(f"would put back {host.where(change.path)}")
        if record.about.get("command"):
            report(f"would run {record.about['command']}")
    else:
        if not force:
            _check_topmost(host, record, without_those_over)
        _take_back(host, record, force=force, report=report)
    return True


def _take_back(
    host: Host,
    record: Record,
    *,
    force: bool = False,
    leave: bool = False,
    run: bool = True,
    report: Report,
) -> None:
    named = {} if force else _named(host, record)
    for path in transaction.restore(host, record, force=force, leave=leave):
        report(f"put back {host.where(path)}")
        named.pop(path, None)
    for path, data in named.items():
        _rewrite(host, path, data)
        report(f"took it out of {host.where(path)}")
    if run:
        _run(host, tuple(record.about["command"].split()), report)
    transaction.forget(host, record.name, record.directories)


def _named(host: Host, record: Record) -> dict[str, bytes]:
    """The configuration files that name what was installed, without that name.

    What others changed is not put back, but may not name a file that is removed.
    """
    try:
        view = View(host, replace(record, changes=()))
        found = loader_of(view, again(record)).without(file_of(record.name))
        return {view.resolve(path): data for path, data in found.items()}
    except RslError:
        return {}  # the loader is not there any more


def _rewrite(host: Host, path: str, data: bytes) -> None:
    now = host.stat(path)
    if now:
        host.put(path, data, mode=now.st_mode & 0o777, owner=(now.st_uid, now.st_gid))
