"""The type of flags that take a whole number: in plain digits. click's own reads digits of any script, and `1_000`."""

import re
from typing import Any

import click

_FORM = re.compile(r"-?[0-9]+")


class WholeNumber(click.IntRange):  # noqa: TID251
    """A whole number of a range; what it refuses is told as click tells it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with what is wrong."""
        if isinstance(value, str) and not _FORM.fullmatch(value):
            return self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return super().convert(value, param, ctx)
