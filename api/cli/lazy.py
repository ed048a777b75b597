"""A click group that imports a command only when it is named, so that `rnx` starts fast.

Here: the table's mechanism. The table itself, with each command's help line, is in `main.py`: help
for the whole group imports nothing. Invariant: importing this module imports no command.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is, `module:attribute`, and its line in the group's help."""

    where: str
    help: str
    hidden: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.where} is not a command")
        return command


class LazyGroup(click.Group):
    """A group whose commands are named in a table and imported when used."""

    def __init__(self, *args: Any, table: Mapping[str, Lazy], **kwargs: Any) -> None:
        """Make a group of the commands in `table`."""
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands that help shows."""
        return [name for name, lazy in self.table.items() if not lazy.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if there is none of that name."""
        lazy = self.table.get(cmd_name)
        return lazy.load() if lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` names, or suggest what was meant."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            near = nearest(name, self.list_commands(ctx))
            hint = f": did you mean {near}?" if near else f": see {ctx.command_path} --help"
            ctx.fail(f'unknown command "{name}"{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        rows = [(name, lazy.help) for name, lazy in self.table.items() if not lazy.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def nearest(word: str, candidates: list[str]) -> str:
    """Return the candidate that `word` most likely meant, or nothing."""
    import difflib

    return next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)), "")
