# SPDX-License-Identifier: BSD-3-Clause
"""Paths below a directory that others may change meanwhile, and from which none leads out.

Each directory on the way is opened below the one before it, never through a symbolic link; a link
is read and followed part by part, and ".." goes back to a directory that is open already.
openat2(2) with RESOLVE_IN_ROOT does the same, but kernels before 5.6 lack it, and Python has no
function for it.
"""

from __future__ import annotations

import errno
import os

from rslctl.errors import RslError

TYPE_CHECKING = False
if TYPE_CHECKING:  # imports for types only would make each command start later
    from collections.abc import Callable
    from typing import TypeVar

    Result = TypeVar("Result")

#: The largest number of links that Linux follows in one path (path_resolution(7)).
_LINKS_MAX = 40


class Beneath:
    """The paths below the directory that *fd* is open on, which is closed with this object."""

    def __init__(self, root: str, fd: int) -> None:
        """*root* is the directory's name, for messages and for links that begin with it."""
        self._root = root
        self._fd = fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._fd)

    def do(
        self, name: str, action: Callable[[str, int | None], Result], *, follow: bool, make: bool
    ) -> Result:
        """Call *action* with the last part of the path *name*, and its directory's descriptor.

        The last part is no symbolic link any more if *follow* is true, unless it becomes one
        meanwhile: *action* must not follow it. With *make* the missing directories are made.

        Raises:
            OSError: a directory on the way cannot be entered, or *action* raises it.
            RslError: symbolic links form a loop.
        """
        fds, names = self._walk(name, follow=follow, make=make, strict=True)
        try:
            return action(names[-1], fds[-1])
        finally:
            _close(fds)

    def real(self, name: str) -> str:
        """Return the absolute path of *name* below the root, without symbolic links.

        What is missing counts as directories.

        Raises:
            OSError: a directory on the way cannot be entered.
            RslError: symbolic links form a loop.
        """
        fds, names = self._walk(name, follow=True, make=False, strict=False)
        _close(fds)
        return "/" + "/".join(each for each in names if each != ".")

    def _walk(
        self, name: str, *, follow: bool, make: bool, strict: bool
    ) -> tuple[list[int], list[str]]:
        """Go to the directory of the last part of *name*, link by link, below the root.

        Returns the descriptors of the directories on the way, the root's first, and the names on
        the way, of which the last one was not entered. Unless *strict*, what is missing counts as
        directories.
        """
        way = _Way(self._root, os.dup(self._fd))
        parts = _parts(name)
        try:
            while parts:
                part = parts.pop(0)
                target = way.target(part) if parts or follow else None
                if target is not None:
                    if way.links > _LINKS_MAX:
                        raise RslError(f"'{self._root}{name}' is a link that leads to itself")
                    parts = way.follow(target) + parts
                elif part == "..":
                    way.back()
                elif not parts:
                    return way.fds, [*way.names, part]
                elif not way.enter(part, make):
                    if strict:
                        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                    return way.fds, [*way.names, part, *parts]
        except BaseException:
            _close(way.fds)
            raise
        return way.fds, [*way.names, "."]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


class _Way:
    """The directories on a way from the root, each of them open."""

    def __init__(self, root: str, fd: int) -> None:
        self._root = root
        self.fds = [fd]
        self.names: list[str] = []
        #: The number of links on the way.
        self.links = 0

    def target(self, part: str) -> str | None:
        """The target of a symbolic link; None if *part* is no link, or does not exist."""
        try:
            return os.readlink(part, dir_fd=self.fds[-1])
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            return None

    def follow(self, target: str) -> list[str]:
        """Follow a link, and return the parts of its target that are still to go."""
        self.links += 1
        if target.startswith("/"):
            _close(self.fds[1:])
            del self.fds[1:], self.names[:]
        # A link target may already contain the path of the root.
        inside = target.startswith(f"{self._root}/")
        return _parts(target.removeprefix(self._root) if inside else target)

    def back(self) -> None:
        """Go to the directory above, or stay at the root."""
        if self.names:
            os.close(self.fds.pop())
            self.names.pop()

    def enter(self, part: str, make: bool) -> bool:
        """Go to the directory *part*; False if it is missing, and *make* is false."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        at = self.fds[-1]
        try:
            fd = os.open(part, flags, dir_fd=at)
        except FileNotFoundError:
            if not make:
                return False
            os.mkdir(part, 0o755, dir_fd=at)
            fd = os.open(part, flags, dir_fd=at)
        self.fds.append(fd)
        self.names.append(part)
        return True
