"""A type of flags whose values a function reads: what it refuses is wrong usage, with the flag's name before it."""

from collections.abc import Callable
from typing import Any

import click


class Read(click.ParamType[Any]):
    """A flag's value, read by a function that raises ValueError with the fix."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        """Read values by `read`; `name` is what help calls one."""
        self.read, self.name = read, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means, or fail with how to write it."""
        try:
            return self.read(value) if isinstance(value, str) else value
        except ValueError as error:
            if param is None:
                return self.fail(str(error), param, ctx)
            flag = next((name for name in param.opts if name.startswith("--")), param.opts[0])
            raise click.UsageError(f"{flag}: {error}", ctx) from error
