# SPDX-License-Identifier: BSD-3-Clause
"""Install overlays for the boot loader, and uninstall them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rslctl.boot import loaders, transaction
from rslctl.boot.loaders import Edit, Loader, View
from rslctl.boot.transaction import Record
from rslctl.devicetree import overlay
from rslctl.devicetree.nodes import to_blob
from rslctl.devicetree.tree import Tree, from_blob
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.profile.model import Board

#: The name of the loader in the record of a merged tree.
MERGED = "dtb"

#: Called with a line for each step that is done, or would be done.
Report = Callable[[str], None]


@dataclass(frozen=True)
class How:
    """How to install; None means what the machine has."""

    loader: str | None = None
    #: The tree on the machine that is replaced by the merged one.
    dtb: str | None = None
    #: The base tree to check against, if the machine does not tell which it is.
    base: Path | None = None


@dataclass(frozen=True)
class _Work:
    edit: Edit
    about: dict[str, str]
    check: Callable[[], None]


def file_of(name: str) -> str:
    """The file name of a board's overlay in the boot loader's directory."""
    return f"rslctl-{name}.dtbo"


def install(host: Host, board: Board, how: How, *, dry_run: bool, report: Report) -> bool:
    """Install the overlay of *board* for the boot loader. Returns False if it is installed already.

    Raises:
        RslError: the overlay does not fit, the loader does not apply it, or a file cannot be
            written. The next install or uninstall undoes the files that were written.
    """
    record = transaction.load(host, board.name)
    if record and not record.done:
        report(f"{'would take' if dry_run else 'take'} back an unfinished installation")
        if not dry_run:
            _take_back(host, record, force=False, report=report)
            record = None
    view = View(host, record)
    if record and record.done and not (how.loader or how.dtb):
        loader = record.about["loader"]
        how = How(None if loader == MERGED else loader, record.about.get("dtb"), how.base)
    work = _work(view, board, how, report)
    if record and record.done:
        _check_same(host, record, view, work.edit)
        return False
    if dry_run:
        for path, data in work.edit.files.items():
            if view.read(path) != data:
                report(f"would write {host.path(path)}")
        if work.edit.command:
            report(f"would run {' '.join(work.edit.command)}")
        return True
    _write(host, board.name, work, report)
    return True


def _check_same(host: Host, record: Record, view: View, edit: Edit) -> None:
    """Check that the installed overlay is the one that would be installed.

    Raises:
        RslError: it differs.
    """
    wanted = {
        path: transaction.digest(data)
        for path, data in edit.files.items()
        if view.read(path) != data
    }
    if wanted != {each.path: each.after for each in record.changes}:
        raise RslError(
            f"another overlay of board {record.name!r} is installed, by {record.about['loader']}",
            hint=f"rslctl overlay uninstall --board {record.name}, or give the same options again",
        )
    if not transaction.intact(host, record):
        lost = [
            str(host.path(each.path))
            for each in record.changes
            if transaction.digest(transaction.content(host, each.path)) != each.after
        ]
        raise RslError(
            f"the overlay of board {record.name!r} was installed, but somebody else changed "
            f"{', '.join(lost)} since",
            hint=f"rslctl overlay uninstall --board {record.name}, with --force if it has to be",
        )


def _work(view: View, board: Board, how: How, report: Report) -> _Work:
    if how.dtb is not None:
        path = view.resolve(how.dtb)
        blob = view.read(path)
        if blob is None:
            raise RslError(f"--dtb: there is no '{view.host.path(path)}'")
        own = from_blob(blob, path, overlay.kernel_of(Path(path)))
        made = overlay.for_base(board, overlay.STYLES[0], own)
        for note in made.notes:
            report(note)
        files = {path: overlay.merge(made, blob)}
        return _Work(Edit(files), {"loader": MERGED, "dtb": how.dtb}, lambda: None)
    loader = loaders.choose(view, how.loader)
    base = _base(view, loader, how.base)
    if base is None:
        report(
            f"the base tree is not known from {loader.marks}: the overlay was not checked "
            "against it (--base FILE.dtb does)"
        )
        made = overlay.build(board)
    else:
        made = overlay.for_base(board, overlay.STYLES[0], base)
        for note in made.notes:
            report(note)
    file = file_of(board.name)
    edit = loader.edit(file, to_blob(made))
    files = {view.resolve(path): data for path, data in edit.files.items()}
    return _Work(
        Edit(files, edit.command),
        {"loader": loader.name, "command": " ".join(edit.command)},
        lambda: loader.check_installed(file),
    )


def _base(view: View, loader: Loader, given: Path | None) -> Tree | None:
    if given:
        return overlay.read_base(given)[0]
    path = loader.base()
    return from_blob(view.read(path) or b"", path, overlay.kernel_of(Path(path))) if path else None


def _write(host: Host, name: str, work: _Work, report: Report) -> None:
    transaction.forget(host, name)  # left over if an installation was killed
    record = transaction.prepare(host, name, work.about, work.edit.files)
    if not record.changes:
        raise RslError(
            f"the overlay of board {name!r} is there already, and not by rslctl",
            hint="nothing was changed, and nothing will be uninstalled",
        )
    transaction.begin(host, record)
    for change in record.changes:
        host.put(change.path, work.edit.files[change.path])
        report(f"wrote {host.path(change.path)}")
    _run(host, work.edit.command, report)
    if host.live:
        work.check()
    transaction.finish(host, record)


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
            report(f"would put back {host.path(change.path)}")
        if record.about.get("command"):
            report(f"would run {record.about['command']}")
    else:
        _take_back(host, record, force=force, report=report)
    return True


def _take_back(host: Host, record: Record, *, force: bool, report: Report) -> None:
    for path in transaction.restore(host, record, force=force):
        report(f"put back {host.path(path)}")
    _run(host, tuple(record.about.get("command", "").split()), report)
    transaction.forget(host, record.name)


def state(host: Host, record: Record) -> str:
    """The state of an installation."""
    if not record.done:
        return "unfinished"
    return "installed" if transaction.intact(host, record) else "changed"
