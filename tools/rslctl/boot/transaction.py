# SPDX-License-Identifier: BSD-3-Clause
"""Change several files together, with a record that allows to undo it.

The record and copies of the old files are in a directory that survives a reboot. The record is
complete before the first file changes. It is removed after the last file is put back. So a change
that was killed can be undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from rslctl.errors import RslError, SeveralError
from rslctl.linux import trust
from rslctl.linux.host import Host

STATE = "/var/lib/rslctl/overlay"
#: Those of its directories that are rslctl's own, the outer one first.
_OWN = (posixpath.dirname(STATE), STATE)
_RECORD = "record.json"


@dataclass(frozen=True)
class Change:
    """A changed file: the digests of its content before and after, "" for no such file.

    If it is *generated*, others write it anew or remove it, and what they wrote stays.
    """

    path: str
    before: str
    after: str
    generated: bool = False
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True)
class Record:
    """The changes under *name*. *about* is data of the caller."""

    name: str
    about: dict[str, Any]
    changes: tuple[Change, ...]
    #: The directories that rslctl made, for this record or for one before, the outer ones first.
    directories: tuple[str, ...] = field(default=())
    #: Whether all changes were done.
    done: bool = False

    @property
    def directory(self) -> str:
        return f"{STATE}/{self.name}"

    def backup(self, change: Change) -> str:
        """The file with the old content."""
        return f"{self.directory}/{self.changes.index(change)}"


def digest(data: bytes | None) -> str:
    """The SHA-256 digest of a content; "" for a file that does not exist."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def content(host: Host, path: str) -> bytes | None:
    """The content of a file; None if it does not exist."""
    return host.read(path) if host.is_file(path) else None


def names(host: Host) -> list[str]:
    """The names of all records."""
    return [name for name in host.names(STATE) if host.exists(f"{STATE}/{name}/{_RECORD}")]


def left(host: Host) -> list[str]:
    """The names without a record, of which a kill has left something."""
    return [name for name in host.names(STATE) if not host.exists(f"{STATE}/{name}/{_RECORD}")]


def load(host: Host, name: str) -> Record | None:
    """The record of *name*; None if there is none.

    Raises:
        RslError: it is damaged.
    """
    for directory, file in ((STATE, ""), (f"{STATE}/{name}", _RECORD)):
        trust.check_own(host, directory, file)
    data = content(host, f"{STATE}/{name}/{_RECORD}")
    if data is None:
        return None
    try:
        parsed = json.loads(data)
        parsed["changes"] = tuple(Change(**each) for each in parsed["changes"])
        parsed["directories"] = tuple(parsed["directories"])
        record = Record(**parsed)
        if record.name != name or any(each.mode & ~0o777 for each in record.changes):
            raise ValueError("rslctl does not write such a record")
        if record.about.get("given") or str(record.about.get("board")).endswith(".toml"):
            trust.check_ours(host, f"{STATE}/{name}/{_RECORD}")
        return record
    except (ValueError, KeyError, TypeError) as error:
        raise RslError(
            f"'{host.where(f'{STATE}/{name}/{_RECORD}')}' is damaged: {error}",
            hint="put the files beside it back by hand, then remove the directory",
        ) from error


def _save(host: Host, record: Record) -> None:
    text = json.dumps(asdict(record), indent=2) + "\n"
    host.put(f"{record.directory}/{_RECORD}", text.encode())


def prepare(
    host: Host,
    name: str,
    about: dict[str, Any],
    files: dict[str, bytes],
    generated: frozenset[str] = frozenset(),
    made: Sequence[str] = (),
) -> Record:
    """Make the record of changing *files* to the given contents. Unchanged files are left out.

    *made* are directories that rslctl made for a record that this one replaces.
    """
    changes, created = [], [f"{STATE}/{name}"]
    for path, data in files.items():
        old = content(host, path)
        if old == data:
            continue
        change = Change(path, digest(old), digest(data), path in generated)
        if old is None:
            created.append(path)
        else:
            now = host.stat(path)
            if now is None:
                raise RslError(f"'{host.where(path)}' has just been removed")
            mode = now.st_mode & 0o777
            change = replace(
                change, mode=mode, uid=now.st_uid, gid=now.st_gid, mtime_ns=now.st_mtime_ns
            )
        changes.append(change)
    others = [each for each in map(partial(load, host), names(host)) if each]
    known = {*made, *(path for each in others for path in each.directories)}
    return Record(name, about, tuple(changes), _made(host, created, known))


def _made(host: Host, paths: Sequence[str], known: set[str]) -> tuple[str, ...]:
    """The directories above *paths* that are *known*, or do not exist, the outer ones first."""
    above = set(paths)
    for path in paths:
        while (path := posixpath.dirname(path)) != "/":
            above.add(path)
    found = [each for each in above - set(paths) if each in known or not host.exists(each)]
    return tuple(sorted(found, key=len))


def begin(host: Host, record: Record) -> None:
    """Save copies of the files, and then the record.

    Raises:
        RslError: that cannot be written. No file was changed.
    """
    for change in record.changes:
        if change.before:
            host.put(
                record.backup(change),
                host.read(change.path),
                mode=change.mode,
                owner=(change.uid, change.gid),
            )
    _save(host, record)


def finish(host: Host, record: Record) -> None:
    """Mark the record as done."""
    _save(host, replace(record, done=True))


def foreign(host: Host, record: Record) -> list[Change]:
    """The changes of files whose content is neither the old one nor the written one."""
    return [
        change
        for change in record.changes
        if digest(content(host, change.path)) not in (change.before, change.after)
    ]


def intact(host: Host, record: Record, over: Sequence[Record] = ()) -> bool:
    """Whether all files have the written content, below what *over* made of it."""
    return all(digest(beneath(host, over, each.path)) == each.after for each in record.changes)


def over(host: Host, name: str) -> tuple[Record, ...]:
    """The records of what was installed over *name*, by changing its files or on a tree with them.

    Also of what was installed over those.
    """
    others = [load(host, each) for each in names(host)]
    wanted, found = [name], {}
    for under in wanted:
        for each in others:
            if each and each.name not in wanted and under in each.about.get("over", ()):
                found[each.name] = each
                wanted.append(each.name)
    return tuple(found.values())


def beneath(host: Host, records: Sequence[Record], path: str) -> bytes | None:
    """The content of *path* before the changes of *records*, whose order does not matter."""
    now = content(host, path)
    for _ in records:
        for record in records:
            for change in record.changes:
                if change.path == path and change.after == digest(now):
                    now = host.read(record.backup(change)) if change.before else None
    return now


def before(
    host: Host, record: Record | None, path: str, records: Sequence[Record] = ()
) -> bytes | None:
    """The content of *path* before the changes of *record*; the present one if it has none.

    The present one also if it is neither the old one nor the written one: others wrote it since.
    The changes of *records*, which were made over it, do not count.
    """
    now = beneath(host, records, path)
    for change in record.changes if record else ():
        if change.path == path and digest(now) in (change.before, change.after):
            return host.read(record.backup(change)) if record and change.before else None
    return now


def restore(host: Host, record: Record, *, force: bool = False, leave: bool = False) -> list[str]:
    """Put the old contents back, and return the files that changed. The record stays.

    What others wrote to files that are generated stays; with *leave*, to any file.

    Raises:
        SeveralError: another program changed a file since, and neither *force* nor *leave* is
            true. Nothing was put back.
    """
    others = foreign(host, record)
    kept = [each for each in others if each.generated or leave]
    lost = [each.path for each in others if each not in kept]
    if lost and not force:
        raise SeveralError(
            [f"'{host.where(path)}' was changed by somebody else since" for path in lost],
            hint=f"take the change out, or --force: what was there before is in "
            f"'{host.where(record.directory)}'",
        )
    put_back = []
    for change in reversed(record.changes):
        host.remove_temporary(change.path)
        if change in kept or digest(content(host, change.path)) == change.before:
            continue
        if change.before:
            _put_back(host, change, host.read(record.backup(change)))
        else:
            host.remove(change.path)
        put_back.append(change.path)
    _remove_empty(host, record.directories)
    return put_back


def _remove_empty(host: Host, directories: Sequence[str]) -> None:
    """Remove directories, of which the outer ones come first, if they are empty."""
    for path in reversed(directories):
        with contextlib.suppress(OSError):  # not empty: another program uses it now
            host.remove_directory(path)


def _put_back(host: Host, change: Change, data: bytes) -> None:
    host.put(
        change.path,
        data,
        mode=change.mode,
        owner=(change.uid, change.gid),
        mtime_ns=change.mtime_ns,
    )


def forget(host: Host, name: str, made: Sequence[str] = ()) -> None:
    """Remove a record, and the directories *made* that are empty.

    It may be gone already, or be half removed.
    """
    directory = f"{STATE}/{name}"
    host.remove(f"{directory}/{_RECORD}")
    for each in host.names(directory):
        host.remove(f"{directory}/{each}")
    above = [each for each in made if each not in _OWN]
    _remove_empty(host, [*above, *_OWN, directory])
