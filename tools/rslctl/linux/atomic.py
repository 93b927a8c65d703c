# SPDX-License-Identifier: BSD-3-Clause
"""Files that are replaced in one step: whoever looks sees the old content or the new one.

A file is named by its last part and a descriptor of its directory, or by its path and None.
"""

from __future__ import annotations

import contextlib
import os
import stat

#: What the name of a temporary file ends in; it begins with a dot.
SUFFIX = ".rslctl-new"

#: The flags of a file that must not exist yet.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def temporary(path: str) -> str:
    """The file that :func:`replace` writes before it renames it; a killed process leaves it."""
    directory, slash, last = path.rpartition("/")
    return f"{directory}{slash}.{last}{SUFFIX}"


def replace(
    name: str,
    at: int | None,
    data: bytes,
    *,
    mode: int | None,
    owner: tuple[int, int] | None,
    mtime_ns: int | None,
) -> None:
    """Replace the content of a file by *data*; create the file if it is missing.

    An existing file keeps its permissions and owner unless *mode* or *owner* is given.

    Raises:
        OSError: the file cannot be written; it is unchanged then.
    """
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=at, follow_symlinks=at is None)
        mode = old.st_mode & 0o777 if mode is None else mode
        owner = owner or (old.st_uid, old.st_gid)
    new = temporary(name)
    try:
        fd = os.open(new, _NEW, 0o644, dir_fd=at)
    except FileExistsError:
        os.unlink(new, dir_fd=at)
        fd = os.open(new, _NEW, 0o644, dir_fd=at)
    try:
        try:
            _give(fd, mode, owner)
            write_all(fd, data)
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, name, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=at)
        raise
    _sync(os.path.dirname(name) or ".", at)


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*, in as many writes as it needs."""
    while data:
        data = data[os.write(fd, data) :]


def _give(fd: int, mode: int | None, owner: tuple[int, int] | None) -> None:
    """Set mode and owner of an open file where they differ: FAT refuses any change of them."""
    now = os.fstat(fd)
    if owner not in (None, (now.st_uid, now.st_gid)):
        os.fchown(fd, *(owner or (-1, -1)))
    if mode not in (None, stat.S_IMODE(now.st_mode)):
        os.fchmod(fd, mode or 0)


def _sync(directory: str, at: int | None) -> None:
    """Write a directory's entries to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
