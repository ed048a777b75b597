"""A click group that imports a command only when it is named, so that `rnx` starts fast.

Here: the table's mechanism. The table itself, with each command's help line, is in `main.py`: help
for the whole group imports nothing. Invariant: importing this module imports no command.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from api.cli.connection import Connection


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
        return refusing_empty(lazy.load()) if lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` names, or suggest what was meant."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            from api.nearest import nearest

            near = nearest(name, self.list_commands(ctx))
            hint = f": did you mean {near}?" if near else f": see {ctx.command_path} --help"
            ctx.fail(f'unknown command "{name}"{hint}')
        found = super().resolve_command(ctx, args)
        ctx.ensure_object(Connection).only_commands_that_reach(found[1])
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        rows = [(name, lazy.help) for name, lazy in self.table.items() if not lazy.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_MAY_BE_EMPTY = frozenset({"--selector", "--field-selector", "--runtime"})
"""A selector that is empty selects all, as in Kubernetes; a runtime is none, whatever ~/.rnx/config.yaml names."""


def refusing_empty(command: click.Command) -> click.Command:
    """Have a command refuse what is empty: a shell makes it of a variable that is not set, and means no object.

    What is left out may mean all objects, a default, or no limit; what is there, and empty, never does. A job's words
    are its own. Flags that a function reads refuse it in words of their own.
    """
    for each in command.params:
        if isinstance(each, click.Argument) and each.type is not click.UNPROCESSED:
            each.callback = each.callback or _refuse_empty
        elif isinstance(each, click.Option) and isinstance(each.type, click.types.StringParamType):
            each.callback = each.callback or _refuse_empty_flag
    return command


def _refuse_empty(ctx: click.Context, argument: click.Parameter, value: Any) -> Any:
    if "" in (value if isinstance(value, tuple) else (value,)):
        takes_all = any("--all" in option.opts for option in ctx.command.params)
        instead = ", or say --all" if takes_all else ""
        raise click.UsageError(f"a name is empty: write {argument.make_metavar(ctx)}{instead}", ctx)
    return value


def _refuse_empty_flag(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    is_typed = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    if is_typed and not ctx.resilient_parsing and not _MAY_BE_EMPTY & {*option.opts}:
        flag = next((name for name in option.opts if name.startswith("--")), option.opts[0])
        if value == "" or (isinstance(value, tuple) and "" in value):
            or_not = "" if option.required else ", or leave it out"
            raise click.UsageError(f"{flag} is empty: write {flag} {option.make_metavar(ctx)}{or_not}", ctx)
    return value
