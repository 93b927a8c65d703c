# SPDX-License-Identifier: BSD-3-Clause
"""The help of commands, the same text with every typer that pyproject.toml admits.

Versions of typer and click differ in how they write usage, arguments, defaults and ranges. So the
help is made here, from what the function of a command declares.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, get_type_hints

from typer.core import TyperCommand, TyperGroup

#: Of every typer application here: the top one alone completes, and none uses rich for its help.
SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None}


@dataclass(frozen=True)
class Parameter:
    """An option or an argument as help and manual pages show it."""

    #: The names of an option, the short ones first; none of an argument.
    names: tuple[str, ...]
    #: What stands for the value; "" for a flag.
    metavar: str
    help: str
    required: bool = False
    #: What is taken where nothing is given; "" where that is nothing.
    default: str = ""
    #: The numbers that are taken, as "x>=1"; "" where all are.
    numbers: str = ""

    @property
    def left(self) -> str:
        """The left column of the help."""
        return f"{', '.join(self.names)} {self.metavar}".strip()

    @property
    def right(self) -> str:
        """The right column of the help."""
        more = [f"default: {self.default}"] * bool(self.default) + [self.numbers]
        told = "; ".join([each for each in more if each] + ["required"] * self.required)
        return f"{self.help}  [{told}]" if told else self.help


def parameters(command: Any) -> list[Parameter]:
    """The arguments and options of a command, in their order, without that for help."""
    function = inspect.unwrap(command.callback) if command.callback else None
    hints = get_type_hints(function, include_extras=True) if function else {}
    declared = inspect.signature(function).parameters if function else {}
    found = []
    for each in command.params:
        (info,) = getattr(hints.get(each.name), "__metadata__", None) or (None,)
        if info is None:  # of typer's own, for completion
            found.append(Parameter(_sorted(each.opts), "", each.help))
        else:
            found.append(_parameter(_names(each), info, declared[each.name].default))
    return found


def _names(parameter: Any) -> tuple[str, ...]:
    if parameter.param_type_name == "argument":
        return ()
    if parameter.secondary_opts:
        return (" / ".join((*parameter.opts, *parameter.secondary_opts)),)
    return _sorted(parameter.opts)


def _parameter(names: tuple[str, ...], info: Any, default: Any) -> Parameter:
    required = default is inspect.Parameter.empty
    told = not required and default is not None and not isinstance(default, bool)
    return Parameter(
        names,
        info.metavar or "",
        info.help,
        required,
        str(default) if told else "",
        _numbers(info.min, info.max),
    )


def _sorted(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: name.startswith("--")))


def _numbers(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f"x<={most}"
    return f"x>={least}" if most is None else f"{least}<=x<={most}"


def _without_environment(command: Any) -> None:
    """Keep errors from naming a variable of the environment: click 8.2 calls it None."""
    for each in command.params:
        each.show_envvar = False


def _usage(command: Any) -> list[str]:
    """The words of the usage line, without the command's name."""
    return ["[OPTIONS]", *(each.metavar for each in parameters(command) if not each.names)]


def _format_help(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the help of a command, without the commands below it."""
    known = parameters(command)
    arguments = [each for each in known if not each.names]
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)))
    command.format_help_text(ctx, formatter)
    options = [each for each in known if each.names]
    options.append(Parameter(_sorted(ctx.help_option_names), "", "Show this message and exit."))
    for heading, rows in (("Arguments", arguments), ("Options", options)):
        if rows:
            with formatter.section(heading):
                formatter.write_dl([(each.left, each.right) for each in rows])


class Command(TyperCommand):
    """A command without commands below it."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _without_environment(self)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words. Ends with status 2 if an option or an argument is missing.

        Typer before 0.17.5 does not see that with click 8.3 and later.
        """
        rest = super().parse_args(ctx, args)
        for each in self.params:
            if each.required and ctx.params[each.name] is None and not ctx.resilient_parsing:
                name = each.metavar if each.param_type_name == "argument" else each.opts[0]
                ctx.fail(f"Missing {each.param_type_name} {name!r}.")
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line, without the command's name."""
        return _usage(self)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _format_help(self, ctx, formatter)


class Group(TyperGroup):
    """A command with commands below it."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _without_environment(self)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the words. Without any, a group that does nothing by itself shows its help.

        "help WORD..." is "WORD... --help".
        """
        if args[:1] == ["help"] and not ctx.resilient_parsing:
            args = [*args[1:], ctx.help_option_names[0]]
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            print(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands below, in the order in which they are declared."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the commands below."""
        _format_help(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line, without the command's name."""
        command = "[COMMAND]" if self.invoke_without_command else "COMMAND"
        return [*_usage(self), command, "[ARGS]..."]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help, each with the whole of its line."""
        with formatter.section("Commands"):
            rows: list[tuple[str, Any]] = [
                (name, self.get_command(ctx, name)) for name in self.list_commands(ctx)
            ]
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in rows])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that *args* begin with, or guess it; typer's own guess from 0.20 on.

        Ends with status 2 where there is no such command.
        """
        import difflib

        close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1) if args else []
        if close and close[0] != args[0]:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)
