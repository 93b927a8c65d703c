# SPDX-License-Identifier: BSD-3-Clause
"""Reads the words of frequent commands without typer, which takes longer to load than a kick.

The function of a command declares its parameters. This module reads words that are plain options
and values. It leaves all other words to typer, which reads the same declaration: help, errors and
completion.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

#: Module and function of each command. These modules name the types of cli/options.py, and do not
#: load it.
COMMANDS = {
    "doctor": "doctor.doctor_command",
    "kick": "kick.kick",
    "remote start": "remote.start",
    "remote stop": "remote.stop",
    "remote status": "remote.status",
    "remote watch": "remote.watch",
    "run": "run.run",
    "serve": "serve.serve",
    "setup": "setup.setup",
    "status": "status.status",
    "store": "store.store_command",
    "teardown": "setup.teardown",
    "virtio": "virtio.virtio",
    "wait": "wait.wait",
}


def run(words: list[str]) -> bool:
    """Run the command that *words* name. Returns False if the words are left to typer.

    Raises:
        RslError: what the command raises.
    """
    name = " ".join(words[: 2 if words[:1] == ["remote"] else 1])
    count = name.count(" ") + 1
    if name not in COMMANDS or words[:count] != name.split() or "_RSLCTL_COMPLETE" in os.environ:
        return False
    import gc

    # Nothing that is loaded is freed before the end, so a collection meanwhile is of no use.
    gc.disable()
    module, attribute = COMMANDS[name].split(".")
    loaded = __import__(f"rslctl.cli.commands.{module}", fromlist=[attribute])
    function = getattr(loaded, attribute)
    gc.enable()
    arguments = parse(function, words[count:])
    if arguments is None:
        return False
    function(**arguments)
    return True


def parse(function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments for a command's function; None if *words* are left to typer.

    A parameter whose type is called ...Argument is given by position. Every other parameter is an
    option of the same name. An option whose default is False is a flag.
    """
    line = _Line(function, words)
    while line.rest:
        if not line.take():
            return None
    found = line.found
    return found if all(found.get(name) not in (None, []) for name in line.required) else None


class _Line:
    """The words of a command that are still to be read, and the arguments read so far."""

    def __init__(self, function: Callable[..., Any], words: Sequence[str]) -> None:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        self.required = names[: len(names) - len(defaults)]
        optional = zip(names[len(self.required) :], defaults, strict=True)
        self._flags = [name for name, value in optional if value is False]
        self._types = {name: function.__annotations__[name] for name in names}
        self._places = [name for name in names if self._types[name].endswith("Argument")]
        self._options = {_option(name): name for name in names if name not in self._places}
        if "verbose" in self._flags:
            self._options["-v"] = "verbose"
        self.rest = list(words)
        self.found: dict[str, Any] = {}

    def take(self) -> bool:
        """Read the next option or argument. Returns False if it is left to typer."""
        word, equals, value = self.rest.pop(0).partition("=")
        name = self._options.get(word)
        if name is None:
            return self._place(word + equals + value)
        again = name in self.found and self._types[name] not in _LISTS
        if again or (equals and name in self._flags):
            return False
        if name in self._flags:
            self.found[name] = True
            return True
        if not equals:
            value = self.rest.pop(0) if self.rest else ""
        return self._read(name, value)

    def _place(self, word: str) -> bool:
        """Read an argument that is given by position. After "--" all words are arguments."""
        if not self._places:
            return False
        name = self._places[0]
        if self._types[name] != "CommandArgument":
            return self._read(self._places.pop(0), word)
        if word == "--":
            more, self.rest = self.rest, []
        else:
            more = [word]
        self.found[name] = self.found.get(name, []) + more
        return word == "--" or word[:1] not in ("", "-")

    def _read(self, name: str, value: str) -> bool:
        read = _READERS.get(self._types[name], _text)(value)
        listed = self._types[name] in _LISTS and read is not None
        self.found[name] = [*self.found.get(name, []), read] if listed else read
        return read is not None


def _option(name: str) -> str:
    return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"


def _text(word: str) -> str | None:
    return word if word and word[0] != "-" else None


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else None


def _seconds(word: str) -> float | None:
    return float(word) if word.isascii() and word.replace(".", "", 1).isdigit() else None


def _timeout(word: str) -> float | None:
    value = _seconds(word)
    return value if value is not None and value < 1e9 else None


def _interval(word: str) -> float | None:
    value = _seconds(word)
    return value if value is not None and 0.01 <= value <= 1e6 else None


def _mode(word: str) -> str | None:
    return word if 0 < len(word) <= 4 and not set(word) - set("01234567") else None


def _registers(word: str) -> int | None:
    return int(word) if word in ("1", "2") else None


def _left_to_typer(_: str) -> None:
    """For options that are rare or that have many rules."""


#: The options that are not called like their parameters.
_OPTIONS = {"as_legacy": "--legacy", "device_tree": "--dtb"}

#: The types of options that may be repeated, and that are read here.
_LISTS = {"DeviceOption"}

#: How a word is read, by type. Types that are missing here are text.
_READERS: dict[str, Callable[[str], Any]] = {
    "AnyVectorArgument": _number,
    "DeviceTreeOption": _left_to_typer,
    "FirmwareOption": _left_to_typer,
    "IntervalOption": _interval,
    "ModeOption": _mode,
    "RegistersOption": _registers,
    "SetenvOption": _left_to_typer,
    "TimeoutOption": _timeout,
    "VectorArgument": _number,
    "WaitOption": _timeout,
}
