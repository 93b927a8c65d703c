# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: TOML in, frozen dataclasses out.

The format is described in docs/board-profile.md.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rslctl.errors import RslError, os_error
from rslctl.uapi import LABEL_SIZE, MAX_VECTORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Linux maps the shared memory in pages; arm64 boards may run 4, 16 or 64 KiB ones.
PAGE_SIZE = 4096

#: The first shared peripheral interrupt of a GIC has INTID 32, the last 1019
#: (Arm IHI 0048 2.2.1).
SPI_MAX = 1019 - 32

#: Interrupt types of include/dt-bindings/interrupt-controller/irq.h of Linux.
TRIGGERS = {"edge-rising": 1, "edge-falling": 2, "level-high": 4, "level-low": 8}

_BUILT_IN = Path(__file__).parent / "boards"
#: A link's name is also part of device tree labels.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Region:
    """A range of physical memory: *base* and *size* in bytes."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size

    def overlaps(self, other: Region) -> bool:
        """Whether the two have a byte in common."""
        return self.base < other.end and other.base < self.end


@dataclass(frozen=True)
class Doorbell:
    """The doorbell transport of a link; vector n is entry n of each tuple."""

    #: Physical address of the 32-bit register that rings the remote.
    register: int
    #: What Linux writes there.
    kick_values: tuple[int, ...]
    #: The shared peripheral interrupts by which the remote rings Linux.
    spis: tuple[int, ...]
    #: A key of :data:`TRIGGERS`.
    trigger: str


@dataclass(frozen=True)
class Link:
    """One pairing of Linux with a remote."""

    name: str
    memory: Region
    #: The memory that the remote's program occupies, where Linux has to leave it alone.
    firmware: Region | None
    doorbell: Doorbell

    @property
    def vectors(self) -> int:
        return len(self.doorbell.kick_values)


@dataclass(frozen=True)
class Board:
    """What a profile says."""

    name: str
    description: str
    #: An entry of the root node's "compatible" on the machine.
    compatible: str
    #: Paths of device tree nodes that Linux must not use.
    disable: tuple[str, ...]
    links: tuple[Link, ...]

    def link(self, name: str | None) -> Link:
        """The link called *name*; where the board has one link, None means that one.

        Raises:
            RslError: there is no such link, or the board has several and none is named.
        """
        known = ", ".join(link.name for link in self.links)
        if name is None:
            if len(self.links) == 1:
                return self.links[0]
            raise RslError(f"board {self.name!r} has several links: {known}", hint="add --link")
        for link in self.links:
            if link.name == name:
                return link
        raise RslError(f"board {self.name!r} has no link {name!r}", hint=f"its links: {known}")


def built_in() -> list[str]:
    """The names of the profiles that come with rslctl, sorted."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


def load(name: str) -> Board:
    """Read the profile *name*, or the file *name* where that ends in ``.toml``.

    Raises:
        RslError: it does not exist, cannot be read or is not a profile.
    """
    if name.endswith(".toml"):
        path = Path(name)
    elif name in built_in():
        path = _BUILT_IN / f"{name}.toml"
    else:
        known = ", ".join(built_in())
        close = difflib.get_close_matches(name, built_in(), 1)
        raise RslError(
            f"unknown board {name!r}",
            hint=(f"did you mean {close[0]!r}? " if close else "")
            + f"known boards: {known}; a profile of your own is named by its .toml file",
        )
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise RslError(f"{path}: is not UTF-8 text") from error
        raise os_error(f"read board profile '{path}'", error) from error
    return parse(text, name=path.stem, source=str(path))


def parse(text: str, *, name: str, source: str) -> Board:
    """Read a profile from its text.

    Raises:
        RslError: it is not a profile; the message names *source*, the key and what would be right.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RslError(f"{source}: is not TOML: {error}") from error
    top = _Table(source, "", document)
    board = Board(
        name=name,
        description=top.text("description"),
        compatible=top.text("compatible"),
        disable=tuple(top.texts("disable")),
        links=tuple(_link(table) for table in top.tables("link")),
    )
    top.done()
    for path in board.disable:
        if not path.startswith("/"):
            raise RslError(f"{source}: disable: {path!r} is not a path from the root, as '/soc/x'")
    names = [link.name for link in board.links]
    for link_name in names:
        if names.count(link_name) > 1:
            raise RslError(f"{source}: link.name: {link_name!r} is given to more than one link")
    return board


def _link(table: _Table) -> Link:
    name = table.text("name")
    if not _NAME.fullmatch(name) or len(name) >= LABEL_SIZE:
        raise table.error(
            "name", f"{name!r} is not 1 to {LABEL_SIZE - 1} of a-z, 0-9 and '_', as 'rpu0'"
        )
    link = Link(
        name=name,
        memory=_region(table.table("memory")),
        firmware=_region(table.table("firmware")) if "firmware" in table else None,
        doorbell=_doorbell(table.table("doorbell")),
    )
    table.done()
    firmware = link.firmware
    if firmware and firmware.overlaps(link.memory):
        raise table.error(
            "firmware",
            f"{firmware.base:#x}, {firmware.size:#x} bytes, overlaps memory at "
            f"{link.memory.base:#x}, {link.memory.size:#x} bytes",
        )
    return link


def _region(table: _Table) -> Region:
    region = Region(table.integer("base", 0, 2**64 - 1), table.integer("size", 1, 2**64 - 1))
    table.done()
    for key, value in (("base", region.base), ("size", region.size)):
        if value % PAGE_SIZE:
            raise table.error(key, f"{value:#x} is not a multiple of {PAGE_SIZE:#x}")
    if region.end > 2**64:
        raise table.error("size", f"{region.size:#x} goes past the last 64-bit address")
    return region


def _doorbell(table: _Table) -> Doorbell:
    doorbell = Doorbell(
        register=table.integer("register", 0, 2**64 - 4),
        kick_values=tuple(table.integers("kick-values", 0, 2**32 - 1)),
        spis=tuple(table.integers("spis", 0, SPI_MAX)),
        trigger=table.text("trigger"),
    )
    table.done()
    vectors = len(doorbell.kick_values)
    if doorbell.register % 4:
        raise table.error("register", f"{doorbell.register:#x} is not a multiple of 4")
    if not 1 <= vectors <= MAX_VECTORS:
        raise table.error("kick-values", f"has {vectors} values, expected 1 to {MAX_VECTORS}")
    if len(doorbell.spis) != vectors:
        raise table.error(
            "spis", f"has {len(doorbell.spis)} interrupts, but kick-values has {vectors} vectors"
        )
    if len(set(doorbell.spis)) != vectors:
        raise table.error("spis", "has an interrupt twice: each vector needs its own")
    if doorbell.trigger not in TRIGGERS:
        expected = ", ".join(repr(trigger) for trigger in TRIGGERS)
        raise table.error("trigger", f"{doorbell.trigger!r} is not one of {expected}")
    return doorbell


class _Table:
    """A TOML table that is emptied key by key; what remains at the end is a mistake."""

    def __init__(self, source: str, path: str, values: dict[str, Any]) -> None:
        self._source = source
        self._path = path
        self._values = dict(values)
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str, message: str) -> RslError:
        return RslError(f"{self._source}: {self._path}{key}: {message}")

    def _take(self, key: str, kind: type, expected: str) -> Any:
        self._asked.append(key)
        if key not in self._values:
            close = difflib.get_close_matches(key, self._values, 1)
            hint = f"; is it {close[0]!r}?" if close else ""
            raise self.error(key, f"is missing, expected {expected}{hint}")
        return self._typed(key, self._values.pop(key), kind, expected)

    def _typed(self, key: str, value: Any, kind: type, expected: str) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"{value!r} is not {expected}")
        return value

    def text(self, key: str) -> str:
        value: str = self._take(key, str, "a string")
        if not value.isprintable() or not value:
            raise self.error(key, f"{value!r} is not a line of text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings; none where the key is absent."""
        self._asked.append(key)
        values = self._typed(key, self._values.pop(key, []), list, "a list of strings")
        return [self._typed(key, value, str, "a string") for value in values]

    def _in_range(self, key: str, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            raise self.error(key, f"{value:#x} is not between {low:#x} and {high:#x}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        return self._in_range(key, self._take(key, int, "an integer"), low, high)

    def integers(self, key: str, low: int, high: int) -> list[int]:
        values = self._take(key, list, "a list of integers")
        return [
            self._in_range(key, self._typed(key, value, int, "an integer"), low, high)
            for value in values
        ]

    def table(self, key: str) -> _Table:
        values = self._take(key, dict, "a table")
        return _Table(self._source, f"{self._path}{key}.", values)

    def tables(self, key: str) -> list[_Table]:
        """An array of at least one table."""
        values = self._take(key, list, f"at least one [[{key}]] table")
        if not values:
            raise self.error(key, f"is empty, expected at least one [[{key}]] table")
        return [
            _Table(
                self._source,
                f"{self._path}{key}[{index}].",
                self._typed(key, value, dict, f"a [[{key}]] table"),
            )
            for index, value in enumerate(values)
        ]

    def done(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._values:
            close = difflib.get_close_matches(key, self._asked, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise self.error(key, f"is not known here{hint}; known: {', '.join(self._asked)}")
