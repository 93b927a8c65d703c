# SPDX-License-Identifier: BSD-3-Clause
"""Files changed together, with the way back written down first.

The record and what the files held before are in a directory that survives a reboot. The
record is complete before the first file is changed and goes when the last one is back, so
that whoever is killed in between leaves something that can be undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import stat
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rslctl.errors import RslError, SeveralError, os_error
from rslctl.linux.host import Host

STATE = "/var/lib/rslctl/overlay"
_RECORD = "record.json"


@dataclass(frozen=True)
class Change:
    """One file: the digests of what it held before ("" for no such file) and holds after."""

    path: str
    before: str
    after: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True)
class Record:
    """What was changed under *name*; *about* is what the one who changed it wants to know."""

    name: str
    about: dict[str, Any]
    changes: tuple[Change, ...]
    #: Directories that were made, the outer ones first.
    directories: tuple[str, ...] = field(default=())
    #: Whether all of it was done.
    done: bool = False

    @property
    def directory(self) -> str:
        return f"{STATE}/{self.name}"

    def backup(self, change: Change) -> str:
        """Where what the file held before is."""
        return f"{self.directory}/{self.changes.index(change)}"


def digest(data: bytes | None) -> str:
    """What tells contents apart; "" stands for no file."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def content(host: Host, path: str) -> bytes | None:
    """What a file holds; None where there is none."""
    return host.read(path) if host.path(path).is_file() else None


def names(host: Host) -> list[str]:
    """The names that have a record."""
    return [name for name in host.names(STATE) if host.exists(f"{STATE}/{name}/{_RECORD}")]


def load(host: Host, name: str) -> Record | None:
    """The record of *name*; None where nothing is changed.

    Raises:
        RslError: it is damaged.
    """
    data = content(host, f"{STATE}/{name}/{_RECORD}")
    if data is None:
        return None
    try:
        parsed = json.loads(data)
        parsed["changes"] = tuple(Change(**each) for each in parsed["changes"])
        parsed["directories"] = tuple(parsed["directories"])
        return Record(**parsed)
    except (ValueError, KeyError, TypeError) as error:
        raise RslError(
            f"'{host.path(f'{STATE}/{name}/{_RECORD}')}' is damaged: {error}",
            hint="put the files beside it back by hand, then remove the directory",
        ) from error


def _save(host: Host, record: Record) -> None:
    text = json.dumps(asdict(record), indent=2) + "\n"
    host.put(f"{record.directory}/{_RECORD}", text.encode())


def prepare(host: Host, name: str, about: dict[str, Any], files: dict[str, bytes]) -> Record:
    """The record of changing *files* to what is given; what they hold already is left out."""
    changes, directories = [], []
    for path, data in files.items():
        old = content(host, path)
        if old == data:
            continue
        change = Change(path, digest(old), digest(data))
        if old is None:
            directories += _missing(host, path)
        else:
            try:
                now = host.path(path).stat()
            except OSError as error:
                raise os_error(f"look at '{host.path(path)}'", error) from error
            mode = stat.S_IMODE(now.st_mode)
            change = replace(
                change, mode=mode, uid=now.st_uid, gid=now.st_gid, mtime_ns=now.st_mtime_ns
            )
        changes.append(change)
    return Record(name, about, tuple(changes), tuple(dict.fromkeys(directories)))


def _missing(host: Host, path: str) -> list[str]:
    """The directories above *path* that are not there, the outer ones first."""
    found: list[str] = []
    while (path := posixpath.dirname(path)) != "/" and not host.exists(path):
        found.insert(0, path)
    return found


def begin(host: Host, record: Record) -> None:
    """Keep what the files hold, and write down what is about to be changed.

    Raises:
        RslError: that cannot be written; no file was changed.
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
    """Write down that all was done."""
    _save(host, replace(record, done=True))


def foreign(host: Host, record: Record) -> list[str]:
    """The files that hold neither what they did before nor what was written."""
    return [
        change.path
        for change in record.changes
        if digest(content(host, change.path)) not in (change.before, change.after)
    ]


def intact(host: Host, record: Record) -> bool:
    """Whether all files hold what was written."""
    return all(digest(content(host, each.path)) == each.after for each in record.changes)


def before(host: Host, record: Record | None, path: str) -> bytes | None:
    """What *path* held before the changes of *record*, or holds where it has none."""
    for change in record.changes if record else ():
        if change.path == path:
            return host.read(record.backup(change)) if record and change.before else None
    return content(host, path)


def restore(host: Host, record: Record, *, force: bool = False) -> list[str]:
    """Put back what the files held, and name those that changed; the record stays.

    Raises:
        SeveralError: somebody else changed a file since, and not *force*; nothing was put back.
    """
    others = foreign(host, record)
    if others and not force:
        raise SeveralError(
            [f"'{host.path(path)}' was changed by somebody else since" for path in others],
            hint=f"take the change out, or --force: what was there before is in "
            f"'{host.path(record.directory)}'",
        )
    put_back = []
    for change in reversed(record.changes):
        host.remove(host.temporary(change.path))
        if digest(content(host, change.path)) == change.before:
            continue
        if change.before:
            _put_back(host, change, host.read(record.backup(change)))
        else:
            host.remove(change.path)
        put_back.append(change.path)
    for path in reversed(record.directories):
        with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
            host.path(path).rmdir()
    return put_back


def _put_back(host: Host, change: Change, data: bytes) -> None:
    host.put(
        change.path,
        data,
        mode=change.mode,
        owner=(change.uid, change.gid),
        mtime_ns=change.mtime_ns,
    )


def forget(host: Host, name: str) -> None:
    """Remove a record, which may be gone or have been left half removed."""
    directory = f"{STATE}/{name}"
    host.remove(f"{directory}/{_RECORD}")
    for each in host.names(directory):
        host.remove(f"{directory}/{each}")
    with contextlib.suppress(OSError):  # not there, or not ours to remove
        host.path(directory).rmdir()
