"""`--json` of commands that have `-o` too: the same as `-o json`."""

import functools
from collections.abc import Callable
from typing import Any

import click

HELP = "As JSON; the same as -o json."


def also_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command whose parameter is `output` the flag --json."""

    @click.option("--json", "as_json", is_flag=True, help=HELP)
    @functools.wraps(command)
    def called(*arguments: Any, as_json: bool, output: str | None, **flags: Any) -> Any:
        if as_json and output not in (None, "", "json"):
            raise click.UsageError(f"-o {output} and --json are two forms of output: say one of them")
        return command(*arguments, output="json" if as_json else output, **flags)

    return called
