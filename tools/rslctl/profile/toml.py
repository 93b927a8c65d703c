# SPDX-License-Identifier: BSD-3-Clause
"""A TOML reader whose errors name the file, line and key of the wrong value."""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from rslctl.errors import RslError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The place of a value in a document: keys, and indices in arrays of tables.
KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
#: A string, which is kept, or a comment, which is removed.
_COMMENT = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')|#.*""")
_STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True)
class Document:
    """A parsed file; it may be laid over another file."""

    values: dict[str, Any]
    #: The file and line of each key and table, as "FILE:LINE".
    places: dict[KeyPath, str] = field(default_factory=dict)
    source: str = ""

    def place(self, path: KeyPath) -> str:
        """Return the file and line of *path*, or of the nearest known table or key around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, f"{self.source}:1")


def read(text: str, source: str) -> Document:
    """Parse *text*; messages call it *source*.

    Raises:
        RslError: the text is not valid TOML.
    """
    try:
        values = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number that is too long for Python
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        reason = str(error).removesuffix(found[0]) if found else str(error)
        raise RslError(f"{source}:{line}: is not TOML: {reason}") from error
    except RecursionError as error:
        raise RslError(f"{source}:1: is not TOML that can be read: nested too deep") from error
    return Document(values, _places(text, source), source)


def _places(text: str, source: str) -> dict[KeyPath, str]:
    """Find the file and line of each key and table that starts a line."""
    places: dict[KeyPath, str] = {}
    sizes: dict[KeyPath, int] = {}
    table: KeyPath = ()
    quoted, depth = False, 0
    for number, whole in enumerate(text.split("\n"), 1):
        line = _COMMENT.sub(lambda found: found[1] or "", whole)
        inside = quoted or depth > 0
        quoted ^= bool((line.count('"""') + line.count("'''")) % 2)
        if inside or not _HEADER.match(line):
            bare = _STRING.sub("", line)
            depth += sum(bare.count(each) for each in "[{") - sum(bare.count(each) for each in "]}")
        if inside:
            continue
        if header := _HEADER.match(line):
            table = _indexed(_parts(header[2]), sizes)
            if header[1] == "[[":
                sizes[table] = sizes.get(table, 0) + 1
                table = (*table, sizes[table] - 1)
            places.setdefault(table, f"{source}:{number}")
        elif key := _KEY.match(line):
            places.setdefault((*table, *_parts(key[1])), f"{source}:{number}")
    return places


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _indexed(parts: list[str], sizes: dict[KeyPath, int]) -> KeyPath:
    """The path of a table's header; the name of an array of tables means its last table."""
    path: KeyPath = ()
    for at, part in enumerate(parts):
        path = (*path, part)
        if path in sizes and at < len(parts) - 1:
            path = (*path, sizes[path] - 1)
    return path


def overlay(base: Document, top: Document) -> Document:
    """Lay *top* over *base*: a key of *top* replaces the same key of *base*.

    Tables are merged; the value false removes a table. The tables of an array are matched by their
    key "name".
    """
    places = dict(base.places)
    values = _over(base.values, top.values, (), (), places, top)
    return Document(values, places, top.source)


def _over(
    below: dict[str, Any],
    above: dict[str, Any],
    path: KeyPath,
    above_path: KeyPath,
    places: dict[KeyPath, str],
    top: Document,
) -> dict[str, Any]:
    """Lay the table *above* over the table *below*, and update *places*."""
    result = dict(below)
    places[path] = top.place(above_path)
    for key, value in above.items():
        here, there = (*path, key), (*above_path, key)
        old = result.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = _over(old, value, here, there, places, top)
        elif value is False and isinstance(old, dict):
            del result[key]
        elif _are_tables(value) and _are_tables(old):
            result[key] = _arrays_over(old, value, here, there, places, top)
        else:
            _moved(here, there, places, top)
            result[key] = value
    return result


def _arrays_over(
    below: list[Any],
    above: list[Any],
    path: KeyPath,
    above_path: KeyPath,
    places: dict[KeyPath, str],
    top: Document,
) -> list[Any]:
    """Lay the array of tables *above* over the array *below*, and update *places*."""
    result = list(below)
    names = [each.get("name") for each in below]
    for index, table in enumerate(above):
        there = (*above_path, index)
        name = table.get("name")
        if name is not None and name in names:
            at = names.index(name)
            result[at] = _over(result[at], table, (*path, at), there, places, top)
        else:
            _moved((*path, len(result)), there, places, top)
            result.append(table)
    return result


def _moved(path: KeyPath, above_path: KeyPath, places: dict[KeyPath, str], top: Document) -> None:
    """Set the places of *path* and of all keys below it to those in the top document."""
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    places[path] = top.place(above_path)
    for known, place in top.places.items():
        if known[: len(above_path)] == above_path:
            places[path + known[len(above_path) :]] = place


def _are_tables(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def shown(value: object) -> str:
    """Return the text of a value for a message, at most 80 characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:76]} ..."


class Table:
    """A table that is read key by key; :meth:`done` refuses the keys that nobody read.

    Each method that reads a key raises RslError if the value is missing or not valid.
    """

    def __init__(self, document: Document, path: KeyPath, values: dict[str, Any]) -> None:
        self._document = document
        self._path = path
        self._values = dict(values)
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str, message: str, *, at: str | None = None) -> RslError:
        """Make an error for *key*; it names the line of *at*, by default the line of *key*."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self._path]
        name = f"{''.join(parts)}.{key}" if key else "".join(parts)
        where = key if at is None else at
        place = self._document.place((*self._path, where) if where else self._path)
        return RslError(f"{place}: {name.removeprefix('.')}: {message}")

    def _take(self, key: str, kind: type, expected: str) -> Any:
        """Remove a key from the table and return its value."""
        self._asked.append(key)
        if key not in self._values:
            close = difflib.get_close_matches(key, self._values, 1)
            hint = f"; is it {close[0]!r}?" if close else ""
            raise self.error(
                key, f"is missing, expected {expected}{hint}", at=close[0] if close else key
            )
        return self._typed(key, self._values.pop(key), kind, expected)

    def _typed(self, key: str, value: Any, kind: type, expected: str) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"{shown(value)} is not {expected}")
        return value

    def optional(self, key: str) -> bool:
        """Return whether the optional *key* is present."""
        if key not in self._values:
            self._asked.append(key)
        return key in self._values

    def text(self, key: str) -> str:
        """Read a string: one line of printable text, not empty."""
        value: str = self._take(key, str, "a string")
        return self._line(key, value)

    def _line(self, key: str, value: str) -> str:
        if not value.isprintable() or not value:
            raise self.error(key, f"{shown(value)} is not a line of text")
        return value

    def choice(self, key: str, choices: list[str]) -> str:
        """Read a string that is one of *choices*."""
        value = self.text(key)
        if value not in choices:
            close = difflib.get_close_matches(value, choices, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            expected = ", ".join(repr(choice) for choice in choices)
            raise self.error(key, f"{shown(value)} is not one of {expected}{hint}")
        return value

    def texts(self, key: str) -> list[str]:
        """Read a string or a list of strings, as a list that is not empty."""
        value = self._take(key, object, "a string or a list of strings")
        values = value if isinstance(value, list) else [value]
        if not values:
            raise self.error(key, "is empty")
        return [
            self._line(key, self._typed(key, each, str, "a string or a list of strings"))
            for each in values
        ]

    def flag(self, key: str) -> bool:
        """Read an optional bool; a missing key is False."""
        return self.optional(key) and bool(self._take(key, bool, "true or false"))

    def _in_range(self, key: str, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            raise self.error(key, f"{value:#x} is not between {low:#x} and {high:#x}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Read an integer from *low* to *high*."""
        return self._in_range(key, self._take(key, int, "an integer"), low, high)

    def integers(self, key: str, low: int, high: int) -> list[int]:
        """Read a list of integers from *low* to *high*."""
        values = self._take(key, list, "a list of integers")
        return [
            self._in_range(key, self._typed(key, value, int, "an integer"), low, high)
            for value in values
        ]

    def rows(self, key: str, low: int, high: int) -> list[tuple[int, ...]]:
        """Read a list of lists of integers from *low* to *high*."""
        expected = "a list of lists of integers, as [[0], [1]]"
        return [
            tuple(
                self._in_range(key, self._typed(key, value, int, "an integer"), low, high)
                for value in self._typed(key, row, list, expected)
            )
            for row in self._take(key, list, expected)
        ]

    def table(self, key: str) -> Table:
        values = self._take(key, dict, "a table")
        return Table(self._document, (*self._path, key), values)

    def tables(self, key: str) -> list[Table]:
        """Read an array of tables that has at least one table."""
        values = self._take(key, list, f"at least one [[{key}]] table")
        if not values:
            raise self.error(key, f"is empty, expected at least one [[{key}]] table")
        return [
            Table(
                self._document,
                (*self._path, key, index),
                self._typed(key, value, dict, f"a [[{key}]] table"),
            )
            for index, value in enumerate(values)
        ]

    def done(self) -> None:
        """Check that every key was read.

        Raises:
            RslError: the table has an unknown key.
        """
        for key in self._values:
            close = difflib.get_close_matches(key, self._asked, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise self.error(key, f"is not known here{hint}; known: {', '.join(self._asked)}")
