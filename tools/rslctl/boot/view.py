# SPDX-License-Identifier: BSD-3-Clause
"""What a boot loader reads: the machine's files as they were before an installation of ours.

Every loader reads files through a :class:`View` and returns an :class:`Edit`: the files to write,
and the command to run after that.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from rslctl.boot import transaction
from rslctl.boot.transaction import Record
from rslctl.errors import RslError
from rslctl.linux.host import DEVICE_TREE, Host

#: Where systems mount the partition that their boot loader reads; "" is the root itself.
FOLDERS = ("/boot", "/boot/firmware", "/boot/efi", "/efi", "")
#: Where removable disks, and the boot partitions of OpenEmbedded's images, are mounted.
_MEDIA = ("/media", "/run/media", "/mnt")


@dataclass(frozen=True)
class Part:
    """A blob that a boot loader reads, by the path that tells it in messages."""

    path: str
    data: bytes


@dataclass(frozen=True)
class View:
    """The files of a machine as they were before *record*."""

    host: Host
    record: Record | None = None
    #: The compatible names of the board whose tree is looked for.
    compatible: tuple[str, ...] = ()
    #: The file names of the trees that an overlay was fitted to before, which are preferred.
    trees: tuple[str, ...] = ()
    #: The configuration file to use if there are several; "" if only one is expected.
    config: str = ""
    #: What was installed over *record*.
    over: tuple[Record, ...] = ()

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if it does not exist."""
        return transaction.before(self.host, self.record, path, self.over)

    def part(self, path: str) -> Part | None:
        """A file as :class:`Part`; None if it does not exist."""
        data = self.read(path)
        return None if data is None else Part(path, data)

    def first(self, paths: list[str]) -> Part | None:
        """The first of *paths* that exists; None if none does."""
        return next((part for path in paths if (part := self.part(path))), None)

    def text(self, path: str) -> str:
        """The content of a file as text, a character per byte; "" if it does not exist."""
        return (self.read(path) or b"").decode("latin-1")

    def names(self, directory: str) -> list[str]:
        """The names in a directory; without those that *record* made."""
        records = (*self.over, *([self.record] if self.record else []))
        made = {each.path for one in records for each in one.changes if not each.before}
        return [name for name in self.host.names(directory) if f"{directory}/{name}" not in made]

    def resolve(self, path: str) -> str:
        """The target of *path* if it is a symbolic link, otherwise *path*."""
        for _ in range(40):
            target = self.host.link_target(path)
            if target is None:
                return path
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        raise RslError(f"'{self.host.where(path)}' is a link that leads to itself")

    def folders(self) -> Iterator[str]:
        """The directories in which a boot partition may be mounted."""
        yield from FOLDERS
        for media in _MEDIA:
            yield from (f"{media}/{name}" for name in self.host.names(media))

    def running(self, key: str) -> list[str]:
        """A property of the running tree's root as strings; empty if there is none."""
        path = f"{DEVICE_TREE}/{key}"
        data = self.host.read(path) if self.host.exists(path) else b""
        return [text.decode(errors="replace") for text in data.split(b"\0") if text]

    def own_partition(self, folder: str) -> bool:
        """Whether a partition of its own is mounted on the directory *folder*."""
        at, root = self.host.stat(folder or "/"), self.host.stat("/")
        return at is not None and root is not None and at.st_dev != root.st_dev

    def on_partition(self, folder: str, said: str) -> list[str]:
        """The paths that *said* may mean, which counts from the top of a partition.

        *folder* is the directory in which the partition may be mounted, or a directory of the
        root's own partition.
        """
        said = "/" + said.lstrip("/")
        own = self.host.live and self.own_partition(folder)
        if own or folder not in ("", "/boot"):
            return [f"{folder}{said}", *([] if own else [said])]
        return [said] if self.host.live else list(dict.fromkeys([said, f"{folder}{said}"]))


@dataclass(frozen=True)
class Edit:
    """Files to write, by path, and the command that makes the loader read them."""

    files: dict[str, bytes] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    #: The files that a kernel update writes anew or removes.
    generated: frozenset[str] = frozenset()


class Loader:
    """A way to tell a boot loader of an overlay."""

    #: The name for --loader.
    name: ClassVar[str]
    #: The file that tells the loader, below one of the view's folders or, if it begins with "/",
    #: there. Several are variants of one dialect.
    files: ClassVar[tuple[str, ...]]

    def __init__(self, view: View) -> None:
        self.view = view
        #: What cannot be told from the files, a line each.
        self.notes: list[str] = []
        there = [path for path in self.places() if view.read(path) is not None]
        self.found = [path for path in there if not self.unlike(path)]
        if view.config in self.found:
            self.found = [view.config]
        #: The configuration file; "" if there is none.
        self.config = self.found[0] if self.found else ""

    def places(self) -> list[str]:
        """The paths of the configuration file that are looked at."""
        return [
            path
            for name in self.files
            for path in (
                [name]
                if name.startswith("/")
                else [f"{folder}/{name}" for folder in self.view.folders()]
            )
        ]

    @property
    def folder(self) -> str:
        """The directory in which the partition of the configuration file may be mounted."""
        name = next(name for name in self.files if self.config.endswith(name))
        return self.config.removesuffix(name).rstrip("/")

    @property
    def source(self) -> str:
        """The name of the configuration file in messages."""
        return f"'{self.view.host.where(self.config)}'"

    def unlike(self, path: str) -> str:
        """Why the file *path*, which exists, is not this loader's; "" if it is."""
        return ""

    def missing(self) -> str:
        """Why the machine does not boot by this loader; "" if it does."""
        if self.found:
            return ""
        there = [path for path in self.places() if self.view.read(path) is not None]
        odd = [path for path in self.places() if path not in there and self.view.host.exists(path)]
        lost = [path for path in self.places() if path not in (*there, *odd)]
        reasons = [f"{path} {self.unlike(path)}" for path in there]
        reasons += [f"{path} is a directory, and has to be a file" for path in odd]
        return "; ".join([*reasons, *([f"there is no {', '.join(lost)}"] if lost else [])])

    @property
    def merges(self) -> bool:
        """Whether it gets a merged tree, because it takes no overlay."""
        return False

    def trees(self) -> list[Part]:
        """The trees of which it loads one; empty if its files do not tell it.

        Raises:
            RslError: the loader cannot be given an overlay.
        """
        raise NotImplementedError

    def target(self) -> str:
        """The file that is changed to have the overlay loaded."""
        return self.config

    def overlays(self, file: str) -> list[Part]:
        """The overlays that it applies beside *file*, in their order."""
        return []

    def edit(self, file: str, blob: bytes) -> Edit:
        """The files to write so that the loader applies the overlay *blob* as *file*.

        If :attr:`merges`, *blob* is the merged tree.

        Raises:
            RslError: the loader cannot apply it.
        """
        raise NotImplementedError

    def said(self) -> str:
        """What the configuration named in place of the merged tree; "" if that is not needed."""
        return ""

    def loads(self, file: str) -> bool:
        """Whether the configuration has *file* loaded, where that can be told."""
        return True

    def without(self, file: str) -> dict[str, bytes]:
        """The configuration files that name *file*, without it."""
        return {}

    def check_installed(self, file: str) -> None:
        """Check, after the command, that the loader has got *file*.

        Raises:
            RslError: it has not.
        """

    def text(self) -> str:
        """The text of the configuration file, a character per byte."""
        return self.view.text(self.config)

    def named(self, paths: list[str]) -> list[Part]:
        """The first of *paths* that exists, in a list; noted and left out if none does."""
        part = self.view.first(paths)
        if part is None:
            self.notes.append(f"{self.config} names an overlay that is not there: {paths[0]}")
        return [part] if part else []


# Files with a setting per line


def settings(text: str) -> dict[str, tuple[int, str]]:
    """The variables of a U-Boot environment file, with their line numbers. The last line counts."""
    found = {}
    for number, line in enumerate(text.split("\n")):
        said = re.match(r"[ \t]*([^#=\s][^=]*)=(.*?)[ \t\r]*$", line)
        if said:
            found[said[1]] = (number, said[2])
    return found


def listed(text: str, key: str, name: str) -> str:
    """*text* with *name* at the end of the list of the variable *key*."""
    said = settings(text).get(key)
    if said is None:
        return with_line(text, f"{key}={name}")
    if name in said[1].split():
        return text
    lines = text.split("\n")
    lines[said[0]] = appended(lines[said[0]], f"{' ' * bool(said[1])}{name}")
    return "\n".join(lines)


def with_line(text: str, line: str) -> str:
    """*text* with *line* at its end, which ends as the lines of *text* do."""
    end = "\r\n" if "\r\n" in text else "\n"
    return text + end * (bool(text) and not text.endswith("\n")) + line + end


def appended(line: str, text: str) -> str:
    """*line* with *text* before the white space at its end."""
    end = len(line.rstrip(" \t\r"))
    return line[:end] + text + line[end:]
