# SPDX-License-Identifier: BSD-3-Clause
"""Boot loaders of menu entries that name a whole tree: systemd-boot, GRUB; and a tree by itself."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass

from rslctl.boot.view import Edit, Loader, Part, View, appended
from rslctl.errors import RslError


def version_key(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts versions: numbers by value, a tilde before anything."""
    words = re.findall(r"\d+|~|[a-zA-Z]+|[^a-zA-Z\d~]", text)
    return [
        (2, int(word)) if word.isdigit() else (0, "") if word == "~" else (1, word)
        for word in words
    ]


@dataclass(frozen=True)
class _Entry:
    """An entry of the Boot Loader Specification: its path, and lines and values by key."""

    path: str
    keys: dict[str, tuple[int, str]]

    def value(self, key: str) -> str:
        return self.keys.get(key, (0, ""))[1]


class Entries(Loader):
    """Entries of the Boot Loader Specification (type 1): systemd-boot, barebox and others.

    systemd-boot reads "devicetree" and no "devicetree-overlay" (src/boot/boot.c), so it gets a
    merged tree. barebox reads both (common/blspec.c).
    """

    name = "systemd-boot"
    files = ("loader/entries",)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.found = [path for path in self.places() if self._entries(path)]
        if view.config in self.found:
            self.found = [view.config]
        self.config = self.found[0] if self.found else ""

    def missing(self) -> str:
        if self.config and not self._default().value("devicetree"):
            return f"{self._default().path} has no devicetree: the firmware's tree is used"
        return "" if self.config else f"there is no entry in {', '.join(self.places())}"

    def _entries(self, directory: str) -> list[_Entry]:
        names = [name for name in self.view.names(directory) if name.endswith(".conf")]
        return [self._entry(f"{directory}/{name}") for name in names]

    def _entry(self, path: str) -> _Entry:
        keys: dict[str, tuple[int, str]] = {}
        for number, line in enumerate(self.view.text(path).split("\n")):
            key, _, value = line.strip().replace("\t", " ").partition(" ")
            if key and not key.startswith("#"):
                keys[key] = (number, value.strip())
        return _Entry(path, keys)

    def _default(self) -> _Entry:
        """The entry that boots: the one that loader.conf names, else the newest.

        What the user chose in the menu for good (an EFI variable) is not seen.
        """
        entries = sorted(
            self._entries(self.config),
            key=lambda each: (
                # Entries that have a sort-key are before those without (BLS, Sorting).
                not each.value("sort-key"),
                each.value("sort-key"),
                [(-kind, _reversed(word)) for kind, word in version_key(each.value("version"))],
            ),
        )
        conf = self.view.text(f"{posixpath.dirname(self.config)}/loader.conf")
        said = re.findall(r"^\s*default\s+(\S+)", conf, re.MULTILINE)
        for each in entries:
            name = posixpath.basename(each.path)
            if said and any(
                fnmatch.fnmatch(known, said[-1]) for known in (name, name.removesuffix(".conf"))
            ):
                return each
        return entries[0]

    @property
    def merges(self) -> bool:
        systemd = self.view.host.names(f"{self.folder}/EFI/systemd")
        return bool(systemd) or not self._default().value("devicetree-overlay")

    def target(self) -> str:
        return self._default().path

    def trees(self) -> list[Part]:
        said = self._default().value("devicetree")
        found = self.view.first(self.view.on_partition(self.folder, said))
        return [found] if found else []

    def overlays(self, file: str) -> list[Part]:
        if self.merges:
            return []
        names = self._default().value("devicetree-overlay").split()
        return [
            part
            for name in names
            if posixpath.basename(name) != file
            for part in self.named(self.view.on_partition(self.folder, name))
        ]

    def edit(self, file: str, blob: bytes) -> Edit:
        entry = self._default()
        lines = self.view.text(entry.path).split("\n")
        at, tree = entry.keys["devicetree"]
        if self.merges:
            file = posixpath.splitext(file)[0] + ".dtb"
        said = posixpath.join(posixpath.dirname(tree), file)
        if self.merges:
            end = len(lines[at].rstrip())
            lines[at] = lines[at][: end - len(tree)] + said + lines[at][end:]
        else:
            at, now = entry.keys["devicetree-overlay"]
            if said not in now.split():
                lines[at] = appended(lines[at], f" {said}")
        base = self.view.first(self.view.on_partition(self.folder, tree))
        folder = posixpath.dirname(base.path if base else f"{self.folder}/{tree.lstrip('/')}")
        files = {f"{folder}/{file}": blob, entry.path: "\n".join(lines).encode("latin-1")}
        return Edit(files, generated=frozenset(files))


def _reversed(word: int | str) -> tuple[int, ...]:
    """A key that sorts numbers, and words, the other way round."""
    return (-word,) if isinstance(word, int) else tuple(-ord(each) for each in word)


class _Tree(Loader):
    """A tree that is replaced by the merged one."""

    merges = True

    def tree(self) -> str:
        """The path of the tree."""
        raise NotImplementedError

    def target(self) -> str:
        return self.view.resolve(self.tree())

    def trees(self) -> list[Part]:
        found = self.view.part(self.target())
        return [found] if found else []

    def edit(self, file: str, blob: bytes) -> Edit:
        return Edit({self.target(): blob}, generated=frozenset([self.target()]))


class Grub(_Tree):
    """GRUB's command devicetree; there is none for overlays (loader/efi/fdt.c of GRUB).

    grub.cfg is made anew with every kernel, so the tree is replaced, and not the command.
    """

    name = "grub"
    files = ("grub/grub.cfg", "grub2/grub.cfg")

    def unlike(self, path: str) -> str:
        return (
            ""
            if self._said(path)
            else ("has no devicetree in its default entry: the firmware's tree is used")
        )

    def _said(self, path: str) -> str:
        """The file that "devicetree" of the default entry names; "" if it has none."""
        entries = _menu_entries(self.view.text(path))
        wanted = self._wanted(posixpath.dirname(path))
        for number, (names, body) in enumerate(entries):
            if wanted in (*names, str(number)):
                said = re.findall(r"^\s*devicetree\s+[\"']?(\S+?)[\"']?\s*$", body, re.MULTILINE)
                return re.sub(r"^\([^)]*\)", "", said[-1]) if said else ""
        return ""

    def _wanted(self, folder: str) -> str:
        """The number, title or id of the default entry; of a submenu's entry the last part."""
        said = re.findall(
            r"^GRUB_DEFAULT=[\"']?(.*?)[\"']?\s*$",
            self.view.text("/etc/default/grub"),
            re.MULTILINE,
        )
        wanted = said[-1] if said else "0"
        if wanted == "saved":
            saved = re.search(r"^saved_entry=(.*)$", self.view.text(f"{folder}/grubenv"), re.M)
            wanted = saved[1] if saved else "0"
        return wanted.rpartition(">")[2] or "0"

    def tree(self) -> str:
        said = self._said(self.config)
        paths = self.view.on_partition(self.folder, said)
        return next((path for path in paths if self.view.read(path) is not None), paths[0])

    def trees(self) -> list[Part]:
        found = super().trees()
        if not found:
            raise RslError(f"{self.source} names the tree '{self.tree()}', which is not there")
        return found


def _menu_entries(text: str) -> list[tuple[list[str], str]]:
    """The menu entries of a grub.cfg: title and id, and the commands."""
    found = []
    for each in re.finditer(r"^\s*menuentry\s+(.*?)\{\s*$(.*?)^\s*\}", text, re.M | re.S):
        names = re.findall(r"'([^']*)'|\"([^\"]*)\"", each[1])
        found.append(([a or b for a, b in names], each[2]))
    return found


class Tree(_Tree):
    """No boot loader that is known: the tree --dtb is replaced by the merged one."""

    name = "dtb"
    files = ()

    def __init__(self, view: View, path: str) -> None:
        super().__init__(view)
        self.config = path

    def tree(self) -> str:
        return self.config

    def trees(self) -> list[Part]:
        found = super().trees()
        if not found:
            raise RslError(f"--dtb: there is no {self.source}")
        return found
