"""`--wait` and `--timeout` of commands that end or remove something: whether they wait until it is so, and how long."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from api.cli.durations import SECONDS

Command = TypeVar("Command", bound=Callable[..., Any])
GONE, ENDED = "Wait until they are gone.", "Wait until they have ended."


def waits_until(what: str) -> Callable[[Command], Command]:
    """Give a command whose parameters are `wait` and `timeout`, in seconds, the two flags; `what` is the help."""

    def given(command: Command) -> Command:
        timeout = click.option(
            "--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never."
        )
        wait = click.option(
            "--wait", default=True, is_flag=False, flag_value="true", type=bool, metavar="true|false",
            show_default=True, help=what,
        )  # fmt: skip
        return wait(timeout(command))

    return given
