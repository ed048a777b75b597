"""Lengths of time as people write them: `90`, `90s`, `1h30m`, `2d`."""

import re

import click

LONGEST_SECONDS = 100_000 * 86_400
"""What a flag takes: the kernel's clocks, in nanoseconds, count to little more than that."""
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)


def parse(text: str) -> float:
    """Return a length of time in seconds; a bare number is seconds.

    >>> parse("3600"), parse("1h30m"), parse("1.5s")
    (3600.0, 5400.0, 1.5)

    Raises:
        ValueError: it cannot be read; the message says how to write one.
    """
    plain = text.strip()
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", plain):
        return float(plain)
    parts = _PART.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f'cannot read "{text}" as a length of time: use seconds, or 90s, 15m, 1h30m, 2d')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class _Seconds(click.ParamType[float]):
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds, or fail with how to write them."""
        if isinstance(value, float):
            return value
        try:
            seconds = parse(str(value))
        except ValueError as error:
            return self.fail(str(error), param, ctx)
        if seconds > LONGEST_SECONDS:
            return self.fail(f'"{value}" is over {LONGEST_SECONDS // 86400} days: name a shorter time', param, ctx)
        return seconds


SECONDS = _Seconds()
