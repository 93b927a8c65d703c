# SPDX-License-Identifier: BSD-3-Clause
"""The quick way into the frequent commands: what their lines mean, without typer.

Loading typer takes several times as long as a kick. So a line that is nothing but what the
help of its command says is read here, by what the command's own function declares; any other
one, and with it help, errors and completion, is left to typer, which reads the same function.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

#: Their modules declare parameters by names of commands/options.py alone, and load little.
COMMANDS = ("kick", "status", "wait")


def run(words: Sequence[str]) -> int | None:
    """Run the command line *words* and return its exit status; None if it is typer's.

    Raises:
        RslError: what the command raises.
    """
    if not words or words[0] not in COMMANDS:
        return None
    name = words[0]
    function = getattr(__import__(f"rslctl.commands.{name}", fromlist=[name]), name)
    arguments = parse(function, words[1:])
    return None if arguments is None else int(function(**arguments) or 0)


def parse(function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments that *words* are for a command's function; None if that is for typer to say.

    Parameters whose type is called ...Argument stand without a name, in their order; the others
    are options called as they are.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    types = {name: function.__annotations__[name] for name in names}
    places = [name for name in names if types[name].endswith("Argument")]
    options = {f"--{name.replace('_', '-')}": name for name in names if name not in places}
    required = names[: len(names) - len(function.__defaults__ or ())]
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = options.get(word) or (places.pop(0) if places else "")
        if not name or name in found:
            return None
        if types[name] in _FLAGS:
            found[name] = True
            continue
        if word in options:
            word = rest.pop(0) if rest else ""
        found[name] = _READERS[types[name]](word)
        if found[name] is None:
            return None
    return found if all(name in found for name in required) else None


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
    return value if value is not None and value >= 0.01 else None


_FLAGS = ("DryRunOption", "JsonOption")
_READERS: dict[str, Callable[[str], Any]] = {
    "AnyVectorArgument": _number,
    "IntervalOption": _interval,
    "LinkOption": _text,
    "RootOption": _text,
    "TimeoutOption": _timeout,
    "VectorArgument": _number,
}
