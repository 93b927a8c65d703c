# SPDX-License-Identifier: BSD-3-Clause
"""A command with commands below it."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

#: Of every typer application here: the top one alone completes, and none loads rich for its help.
SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None}


class Group(TyperGroup):
    """One that guesses which command was meant; typer's own do so from 0.20 on only."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help, each with the whole of its line."""
        with formatter.section("Commands"):
            rows: list[tuple[str, Any]] = [
                (name, self.get_command(ctx, name)) for name in self.list_commands(ctx)
            ]
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in rows])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that *args* begin with; ends with status 2 where there is none."""
        import difflib

        close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1) if args else []
        if close and close[0] != args[0]:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)
