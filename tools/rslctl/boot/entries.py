# SPDX-License-Identifier: BSD-3-Clause
"""Boot loaders of menu entries that name a whole tree: systemd-boot, GRUB; and a tree by itself."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from rslctl.boot.view import Edit, Loader, Part, View, appended
from rslctl.errors import RslError


def version_key(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts versions: numbers by value, a tilde before anything, also before the end."""
    words = re.findall(r"\d+|~|[a-zA-Z]+|[^a-zA-Z\d~]", text)
    keys: list[tuple[int, int | str]] = [
        (2, int(word)) if word.isdigit() else (0, "") if word == "~" else (1, word)
        for word in words
    ]
    return [*keys, (1, "")]


@dataclass(frozen=True)
class _Entry:
    """An entry of the Boot Loader Specification: its path, and lines and values by key."""

    path: str
    keys: dict[str, tuple[int, str]]

    def value(self, key: str) -> str:
        return self.keys.get(key, (0, ""))[1]

    @property
    def identifier(self) -> str:
        """The file name without the counter of tries: boot_entry_parse_tries()."""
        return _TRIES.sub(".conf", posixpath.basename(self.path))

    @property
    def tries_left(self) -> int | None:
        """How often it may still be tried; None if that is not counted."""
        found = _TRIES.search(self.path)
        return int(found[1]) if found else None


#: The counter in an entry's file name: tries that are left, and those that failed.
_TRIES = re.compile(r"\+(\d+)(?:-(\d+))?\.conf$")


def _order(one: _Entry, two: _Entry) -> int:
    """Which entry systemd-boot lists first: boot_entry_compare() in src/boot/boot.c."""

    def ascending(a: Any, b: Any) -> int:
        return int(a > b) - int(a < b)

    sorts = ascending(one.tries_left == 0, two.tries_left == 0)
    sorts = sorts or ascending(not one.value("sort-key"), not two.value("sort-key"))
    if one.value("sort-key") and two.value("sort-key"):
        for key in ("sort-key", "machine-id"):
            sorts = sorts or ascending(one.value(key), two.value(key))
        versions = [version_key(each.value("version")) for each in (two, one)]
        sorts = sorts or ascending(*versions)
    return sorts or ascending(version_key(two.identifier), version_key(one.identifier))


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
        entries = sorted(self._entries(self.config), key=functools.cmp_to_key(_order))
        conf = self.view.text(f"{posixpath.dirname(self.config)}/loader.conf")
        said = re.findall(r"^\s*default\s+(\S+)", conf, re.MULTILINE)
        for each in entries:
            name = each.identifier
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

    def said(self) -> str:
        """The tree of the entry, before it was the merged one."""
        said, record = self._default().value("devicetree"), self.view.record
        before = record.about.get("said") if record else ""
        if record and before and posixpath.basename(said) == _merged(f"rslctl-{record.name}.dtbo"):
            return posixpath.join(posixpath.dirname(said), posixpath.basename(before))
        return said

    def loads(self, file: str) -> bool:
        entry = self._default()
        said = entry.value("devicetree")
        names = [said] if self.merges else entry.value("devicetree-overlay").split()
        return (_merged(file) if self.merges else file) in map(posixpath.basename, names)

    def without(self, file: str) -> dict[str, bytes]:
        # An entry is renamed when it has booted: its name counts the tries.
        before = posixpath.basename(self.said())
        found = {}
        for entry in self._entries(self.config):
            at, tree = entry.keys.get("devicetree", (0, ""))
            if before and posixpath.basename(tree) == _merged(file) != before:
                lines = self.view.text(entry.path).split("\n")
                own = posixpath.join(posixpath.dirname(tree), before)
                lines[at] = lines[at].replace(tree, own)
                found[entry.path] = "\n".join(lines).encode("latin-1")
        return found

    def trees(self) -> list[Part]:
        found = self.view.first(self.view.on_partition(self.folder, self.said()))
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
            file = _merged(file)
        said = posixpath.join(posixpath.dirname(tree), file)
        if self.merges:
            end = len(lines[at].rstrip())
            lines[at] = lines[at][: end - len(tree)] + said + lines[at][end:]
        else:
            at, now = entry.keys["devicetree-overlay"]
            if said not in now.split():
                lines[at] = appended(lines[at], f" {said}")
        base = self.view.first(self.view.on_partition(self.folder, self.said()))
        folder = posixpath.dirname(base.path if base else f"{self.folder}/{tree.lstrip('/')}")
        files = {f"{folder}/{file}": blob, entry.path: "\n".join(lines).encode("latin-1")}
        return Edit(files, generated=frozenset(files))


def _merged(file: str) -> str:
    """The file name of the merged tree, where that of the overlay is *file*."""
    return posixpath.splitext(file)[0] + ".dtb"


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
        text = self.view.text(path)
        entry = _menu(text).chosen(self._wanted(text, posixpath.dirname(path)))
        said = [words[1] for line in entry.lines if (words := _words(line))[:1] == ["devicetree"]]
        return re.sub(r"^\([^)]*\)", "", said[-1]) if said else ""

    def _wanted(self, text: str, folder: str) -> str:
        """The default entry: numbers, titles or ids from the menu to the entry, with > between."""
        # What boots once is another branch of grub.cfg: set default="${next_entry}".
        said = [
            each
            for each in re.findall(r"^\s*set\s+default=[\"']?(.*?)[\"']?\s*$", text, re.MULTILINE)
            if each != "${next_entry}"
        ] or self._defaults()
        wanted = said[-1] if said else "0"
        if wanted in ("saved", "${saved_entry}"):
            saved = re.search(r"^saved_entry=(.*)$", self.view.text(f"{folder}/grubenv"), re.M)
            wanted = saved[1] if saved else "0"
        return wanted or "0"

    def _defaults(self) -> list[str]:
        """What the files say from which grub.cfg is made; the last counts."""
        more = "/etc/default/grub.d"
        names = [f"{more}/{name}" for name in sorted(self.view.names(more)) if ".cfg" in name]
        text = "\n".join(self.view.text(each) for each in ("/etc/default/grub", *names))
        return re.findall(r"^\s*GRUB_DEFAULT=[\"']?(.*?)[\"']?\s*$", text, re.MULTILINE)

    def tree(self) -> str:
        said = self._said(self.config)
        paths = self.view.on_partition(self.folder, said)
        return next((path for path in paths if self.view.read(path) is not None), paths[0])

    def trees(self) -> list[Part]:
        found = super().trees()
        if not found:
            raise RslError(f"{self.source} names the tree '{self.tree()}', which is not there")
        return found


@dataclass
class _Menu:
    """A menu, a submenu or an entry of grub.cfg."""

    #: Its title and its id.
    names: list[str] = field(default_factory=list)
    #: The entries and submenus of a menu.
    below: list[_Menu] = field(default_factory=list)
    #: The commands of an entry.
    lines: list[str] = field(default_factory=list)

    def chosen(self, wanted: str) -> _Menu:
        """The entry that *wanted* leads to; the first where it names none."""
        if not self.below:
            return self
        # A title's own > is doubled.
        first, *rest = re.split(r"(?<!>)>(?!>)", wanted, maxsplit=1)
        first = first.replace(">>", ">")
        for number, each in enumerate(self.below):
            if first in (*each.names, str(number)):
                return each.chosen(rest[0] if rest else "0")
        return self.below[0].chosen("0")


def _words(line: str) -> list[str]:
    """The words of a command of GRUB; those that are there if a quotation has no end."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _menu(text: str) -> _Menu:
    """The menu of a grub.cfg."""
    top = _Menu()
    # A function has braces as an entry has.
    inside: list[_Menu | None] = [top]
    for line in text.split("\n"):
        words = _words(line)
        if words[:1] in (["menuentry"], ["submenu"]) and words[-1] == "{":
            identifiers = [
                words[at + 1]
                for at, word in enumerate(words[:-2])
                if word in ("--id", "$menuentry_id_option", "${menuentry_id_option}")
            ]
            made = _Menu([*words[1:2], *identifiers])
            if inside[-1]:
                inside[-1].below.append(made)
            inside.append(made)
        elif words[-1:] == ["{"]:
            inside.append(None)
        elif words == ["}"] and len(inside) > 1:
            inside.pop()
        elif inside[-1]:
            inside[-1].lines.append(line)
    return top


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
