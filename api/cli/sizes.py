"""Sizes as people write them: Joblet's `1.5GB` and `100MB`, powers of 1024, and quantities such as `2Gi`. Pure."""

import re
from decimal import Decimal

import click

from api import quantity

_JOBLET = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse(text: str) -> str:
    """Return a size as a quantity; units that end in B are powers of 1024, as Joblet's are.

    >>> parse("1.5GB"), parse("100mb"), parse("2Gi"), parse("4096B"), parse("1G")
    ('1536Mi', '100Mi', '2Gi', '4Ki', '1G')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = text.strip()
    if joblet := of_joblet(plain):
        return joblet
    try:
        if plain.isdecimal() or quantity.to_bytes(plain) <= 0:
            raise ValueError(plain)
    except ValueError:
        raise ValueError(f'cannot read "{text}" as a size: write 100MB, 1.5GB, or 100Mi, 2Gi') from None
    return plain


def of_joblet(text: str) -> str:
    """Return a size as Joblet writes it, with a unit that ends in B, as a quantity; of another text, nothing.

    >>> of_joblet("64Mb"), of_joblet("64Mi")
    ('64Mi', '')
    """
    found = _JOBLET.fullmatch(text.strip())
    return quantity.from_bytes(int(Decimal(found[1]) * 1024 ** _POWERS[found[2].upper()])) if found else ""


class _Size(click.ParamType[str]):
    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the size as a quantity, or fail with how to write it."""
        try:
            return parse(value)
        except ValueError as error:
            raise click.UsageError(f"--size: {error}", ctx) from error


SIZE = _Size()
