# SPDX-License-Identifier: BSD-3-Clause
"""Make the manual pages of rslctl from its commands: python3 tools/mkman.py DIRECTORY."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import typer
from rslctl import __version__
from rslctl.cli.application import app
from rslctl.cli.help import parameters

_FILES = {
    "/etc/rslctl/boards/*.toml": "Profiles of this machine, before those that come with rslctl.",
    "/run/rslctl": "What setup did, by link, and its lock.",
    "/run/rsl/LINK.sock": "Where the broker of a link listens.",
    "/dev/rsl/LINK": "The device of a link, where udev has the rules of rslctl.",
}
_ENVIRONMENT = {
    "NO_COLOR": "Where it is set and not empty, nothing is coloured. What is no terminal gets "
    "no colour anyway.",
    "COLUMNS": "How wide help and tables are.",
}
#: What the overview refers to beside its commands.
_SEE_ALSO = ("systemd.exec(5)", "sd_listen_fds(3)")


def pages() -> dict[str, str]:
    """The pages by file name, in roff of man(7)."""
    top = typer.main.get_command(app)
    commands = dict(sorted(below(top).items()))
    made = {"rslctl.1": _overview(top, commands)}
    for name, command in commands.items():
        made[f"rslctl-{name}.1"] = _page(f"rslctl {name}", command)
    return made


def below(command: Any) -> dict[str, Any]:
    """The commands below a command."""
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    return {name: command.get_command(None, name) for name in names}


def _overview(top: Any, commands: dict[str, Any]) -> str:
    lines = [*_head("rslctl", top.help), *_section("synopsis"), *_synopsis("rslctl", top)]
    lines += [*_section("description"), *_prose(top.help), *_options(top)]
    lines += _section("commands")
    for name, command in commands.items():
        lines += _item(f"\\fBrslctl\\-{_text(name)}\\fR(1)", _first(command.help))
    lines += [*_section("exit status"), *_exit_status(top.help)]
    for section, entries in (("environment", _ENVIRONMENT), ("files", _FILES)):
        lines += _section(section)
        for name, what in entries.items():
            lines += _item(f"\\fI{_text(name)}\\fR", what)
    return _tail(lines, top.help, *(f"rslctl-{name}(1)" for name in commands), *_SEE_ALSO)


def _page(name: str, command: Any) -> str:
    lines = [*_head(name.replace(" ", "-"), command.help), *_section("synopsis")]
    if not command.no_args_is_help:
        lines += _synopsis(name, command)
    for word, each in below(command).items():
        lines += _synopsis(f"{name} {word}", each)
    lines += [*_section("description"), *_prose(command.help), *_options(command)]
    for word, each in below(command).items():
        lines += [f'.SH "{_text(f"{name} {word}".upper())}"', *_prose(each.help)]
        lines += [*_options(each, ".SS Options"), *_examples(each.help, ".SS Examples")]
    return _tail(lines, command.help, "rslctl(1)")


def _head(name: str, help_text: str) -> list[str]:
    what = _first(help_text).rstrip(".")
    return [
        '.\\" SPDX-License-Identifier: BSD-3-Clause',
        '.\\" Made by "make man" from the commands: change those.',
        f'.TH "{_text(name.upper())}" 1 "" "rslctl {__version__}" "User Commands"',
        ".nh",
        ".ad l",
        *_section("name"),
        f"{_text(name)} \\- {_text(what[0].lower() + what[1:])}",
    ]


def _tail(lines: list[str], help_text: str, *see_also: str) -> str:
    lines = [*lines, *_examples(help_text, ".SH EXAMPLES"), *_section("see also")]
    named = [each.rstrip(")").split("(") for each in see_also]
    shown = [f".BR {_text(name)} ({section})" for name, section in named]
    text = "\n".join([*lines, ",\n".join(shown)]) + "\n"
    # A heading begins a paragraph.
    return re.sub(r"(?m)^(\.S[HS] .*\n)\.PP\n", r"\1", text)


def _section(name: str) -> list[str]:
    return [f'.SH "{name.upper()}"']


def _paragraphs(help_text: str) -> list[str]:
    return [" ".join(part.split()) for part in help_text.strip().split("\n\n")]


def _first(help_text: str) -> str:
    return _paragraphs(help_text)[0]


def _prose(help_text: str) -> list[str]:
    left_out = ("Example: ", "Exit status: ")
    told = [each for each in _paragraphs(help_text) if not each.startswith(left_out)]
    return [line for each in told for line in (".PP", _text(each))]


def _exit_status(help_text: str) -> list[str]:
    (told,) = (each for each in _paragraphs(help_text) if each.startswith("Exit status: "))
    found = re.findall(r"(\d) ([^,.]+)", told)
    return [line for number, what in found for line in _item(number, what)]


def _examples(help_text: str, heading: str) -> list[str]:
    found = re.findall(r"^ *Example: (.+)$", help_text, re.MULTILINE)
    shown = [line for each in found for line in (".PP", ".nf", ".RS", _text(each), ".RE", ".fi")]
    return [heading, *shown] if shown else []


def _synopsis(name: str, command: Any) -> list[str]:
    words = [f"\\fB{_text(name)}\\fR"]
    known = parameters(command)
    for each in known:
        if each.names and each.required:
            words.append(f"\\fB{_text(each.names[0])}\\fR \\fI{_text(each.metavar)}\\fR")
    words.append("[\\fIOPTION\\fR]...")
    words += [f"\\fI{_text(each.metavar)}\\fR" for each in known if not each.names]
    if name == "rslctl":
        words.append("\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...")
    return [".PP", " ".join(words)]


def _options(command: Any, heading: str = ".SH OPTIONS") -> list[str]:
    lines = []
    for each in sorted(parameters(command), key=lambda each: bool(each.names)):
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in each.names)
        term = f"{names} \\fI{_text(each.metavar)}\\fR" if each.metavar else names
        what = each.help
        if each.names and each.required:
            what += " Required."
        elif each.default:
            what += f" Default: {each.default}."
        lines += _item(term.strip(), what)
    lines += _item("\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Show help and exit.")
    return [heading, *lines]


def _item(term: str, what: str) -> list[str]:
    return [".TP", term, _text(what)]


def _text(plain: str) -> str:
    """Plain text in roff: no escape, no request, and hyphens that can be copied."""
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def main() -> None:
    """Write the pages, and remove those of commands that are gone."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {__doc__}")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in directory.glob("rslctl*.1"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main()
