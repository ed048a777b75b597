"""What the shell offers after TAB: kinds and the names of objects. Silent when the server is not there."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from api.cli.connection import Connection


def names(connection: "Connection", word: str, incomplete: str) -> list[str]:
    """Return the names of objects of the kind `word` that begin with `incomplete`."""
    from api.cli import targets
    from api.client_paths import BadName
    from api.client_transport import BadAddress, Unreachable
    from api.errors import ApiError

    try:
        kind = targets.kind_of(word)
        listing = connection.client.list(kind, connection.namespace if kind.namespaced else None)
    except (ApiError, Unreachable, BadAddress, BadName, click.UsageError):
        return []  # A shell that prints errors while one types is of no use.
    found = (str(item["metadata"]["name"]) for item in listing["items"])
    return [name for name in found if name.startswith(incomplete)]


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete KIND, KIND NAME and KIND/NAME."""
    from api.cli import targets
    from api.cli.connection import Connection

    connection = ctx.ensure_object(Connection)
    given = ctx.params.get(param.name or "") or ()
    if given:
        return names(connection, given[0], incomplete)
    word, slash, start = incomplete.partition("/")
    if slash:
        return [f"{word}/{name}" for name in names(connection, word, start)]
    return [kind.plural for kind in targets.SERVED if kind.plural.startswith(incomplete)]


def complete_job(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a job."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "jobs", incomplete)


def complete_workflow(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a workflow."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "workflows", incomplete)


def complete_runtime(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a runtime."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "runtimes", incomplete)


def complete_volume(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a volume."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "volumes", incomplete)


def complete_snapshot(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a snapshot of a volume."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "volumesnapshots", incomplete)


def complete_priority(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a PriorityClass."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "priorityclasses", incomplete)


def complete_node(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of the host's node."""
    from api.cli.connection import Connection

    return names(ctx.ensure_object(Connection), "nodes", incomplete)


def complete_offer(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a runtime that a registry offers, and NAME@VERSION after the @."""
    from api.cli.connection import Connection
    from api.client_transport import BadAddress, Unreachable
    from api.errors import ApiError

    client, found = ctx.ensure_object(Connection).client, set[str]()
    for registry in names(ctx.ensure_object(Connection), "registries", ""):
        try:
            runtimes = client.catalogue(registry)["runtimes"]
        except (ApiError, Unreachable, BadAddress):
            continue  # Another may have it.
        for name, versions in runtimes.items():
            found |= {f"{name}@{version}" for version in versions} if "@" in incomplete else {name}
    return sorted(name for name in found if name.startswith(incomplete))
