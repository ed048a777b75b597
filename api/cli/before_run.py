"""What `rnx job run` looks at before it makes a job, and how it ends if none is made: with 125, as podman does.

125 is for what keeps the command from being run; wrong flags are 2 and a server that is not there is 3, as of every
command. Invariant: none of the three is mistaken for an exit code of the job's command that begins to run.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from api import kinds
from api.cli.connection import Connection
from api.cli.finished import NEVER_RAN_EXIT
from api.cli.output import note
from api.cli.problems import CommandFailed, describe
from api.errors import ApiError, NotFound
from api.meta import Document
from api.nearest import nearest


@contextmanager
def ending_with_125() -> Iterator[None]:
    """Say a refusal of what is done in the block and end with 125. Raises CommandFailed, and UsageError as it is."""
    try:
        yield
    except ApiError as error:
        click.echo(describe(error), err=True)
        raise CommandFailed(exit_code=NEVER_RAN_EXIT) from error
    except CommandFailed as error:
        error.exit_code = NEVER_RAN_EXIT
        raise


def check(connection: Connection, job: Document, *, is_waited_for: bool) -> None:
    """Refuse to wait for a job that is not there, and warn of volumes that are made because they are not there.

    Raises:
        CommandFailed: it is to run after a job that is not there.
    """
    spec, own = job["spec"], job["metadata"].get("name")
    if is_waited_for:  # That it is not to wait for itself, the server says.
        _check_after(connection, [each["job"] for each in spec.get("after") or () if each["job"] != own])
    warn_of_volumes(connection, [each["name"] for each in spec.get("volumeMounts") or ()])


def _check_after(connection: Connection, names: list[str]) -> None:
    for name in names:
        try:
            connection.client.get(kinds.JOB, connection.namespace, name)
        except NotFound:
            fix = "rnx job list shows all; with --detach it waits for one that is still to come"
            raise CommandFailed(f'cannot run it after job "{name}": there is no such job: {fix}') from None


def warn_of_volumes(connection: Connection, names: Iterable[str]) -> None:
    """Say which volumes are not there: they are made, empty, which is seldom what a slip of the pen meant."""
    if not names:
        return
    try:
        listed = connection.client.list(kinds.VOLUME, connection.namespace)["items"]
    except ApiError:
        return  # Who may not look at volumes may still have them.
    there = [str(item["metadata"]["name"]) for item in listed]
    for name in names:
        if name not in there:
            near = nearest(name, there)
            meant = f": did you mean {near}?" if near else ": rnx volume list shows its size"
            made = "an empty one is made, unless the setting volumes.auto_create is false"
            note(f'Warning: there is no volume "{name}": {made}{meant}')
