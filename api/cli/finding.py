"""Objects by the beginnings of their names, as the documents' commands take them."""

import click

from api.cli import targets
from api.cli.connection import Connection
from api.cli.problems import CommandFailed
from api.kinds import Kind
from api.meta import Document


def by_beginning(connection: Connection, kind: Kind, start: str) -> Document:
    """Return the object called `start`, or the only one whose name begins so; KIND/NAME is a name as well.

    Raises:
        CommandFailed: none does, or several do.
        UsageError: it is of another kind.
    """
    if "/" in start:  # As `get -o name` prints it.
        target = targets.parse_objects((start,))[0]
        if target.kind is not kind:
            raise click.UsageError(f'"{start}" is no {kind.singular}: write {kind.singular}/NAME, or its name')
        start = target.name
    items = connection.client.list(kind, connection.namespace)["items"]
    exact = [item for item in items if item["metadata"]["name"] == start]
    found = exact or [item for item in items if start and item["metadata"]["name"].startswith(start)]
    what = kind.singular
    if len(found) == 1:
        return dict(found[0])
    if not found:
        hint = f"rnx {what} list shows all"
        raise CommandFailed(f'there is no {what} "{start}" in namespace {connection.namespace}: {hint}')
    names = ", ".join(item["metadata"]["name"] for item in found[:5])
    raise CommandFailed(
        f'"{start}" may mean {len(found)} {what}s ({names}{", …" if len(found) > 5 else ""}): write more of the name'
    )
