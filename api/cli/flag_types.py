"""Types of flags: what they refuse is wrong usage, with the flag's name before it and how to write it after it."""

import re
from collections.abc import Callable
from typing import Any

import click

_WHOLE = re.compile(r"-?[0-9]{1,18}")


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
            raise click.UsageError(f"{_flag(param)}: {error}", ctx) from error


class Whole(Read):
    """A whole number in plain digits, `least` or more, and `most` at most. click's own read those of every script."""

    def __init__(self, least: int, most: int | None = None) -> None:
        """Say what it may be."""
        super().__init__(self._read, "integer")
        self._least, self._most = least, most

    def _read(self, text: str) -> int:
        number = int(text) if _WHOLE.fullmatch(text) else None
        if number is None or number < self._least or (self._most is not None and number > self._most):
            limits = f"{self._least} or more" if self._most is None else f"from {self._least} to {self._most}"
            raise ValueError(f'cannot take "{text}": use a whole number, {limits}')
        return number


def _flag(param: click.Parameter) -> str:
    return next((name for name in param.opts if name.startswith("--")), param.opts[0])
