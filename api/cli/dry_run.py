"""`--dry-run` as kubectl has it: the host checks everything and keeps nothing."""

from collections.abc import Callable
from typing import Any

import click


def dry_run_flag(does: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the parameter `dry_run`: "none", or "server", which `does` nothing."""
    return click.option(
        "--dry-run",
        type=click.Choice(["none", "server"]),
        default="none",
        is_flag=False,
        flag_value="server",
        help=f"server: check everything, {does} nothing.",
    )
