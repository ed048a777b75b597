"""`rnx api-resources`: the kinds of objects and what they may be called."""

import click

from api.cli import targets
from api.cli.connection import reaching
from api.cli.json_flag import also_json
from api.cli.output import show_columns, show_json
from api.kind import Kind
from api.meta import Document


@click.command("api-resources")
@click.option("--no-headers", is_flag=True, help="Leave out the headers of columns.")
@click.option("-o", "--output", type=click.Choice(["name", "wide", "json"]), help="Names only, or with categories.")
@also_json
@reaching
def api_resources(*, no_headers: bool, output: str | None) -> None:
    """List the kinds of objects."""
    if output == "name":
        for kind in sorted(targets.SERVED, key=lambda kind: kind.resource):
            click.echo(kind.resource)
        return
    if output == "json":
        show_json([_described(kind) for kind in sorted(targets.SERVED, key=lambda kind: (kind.group, kind.plural))])
        return
    head = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", *(["CATEGORIES"] if output else [])]
    rows = []
    for kind in sorted(targets.SERVED, key=lambda kind: (kind.group, kind.plural)):
        row = [kind.plural, ",".join(kind.short_names), kind.api_version, str(kind.namespaced).lower(), kind.name]
        rows.append([*row, *([",".join(kind.categories)] if output else [])])
    show_columns([*([] if no_headers else [head]), *rows])


def _described(kind: Kind) -> Document:
    return {
        "name": kind.plural, "shortNames": list(kind.short_names), "apiVersion": kind.api_version,
        "namespaced": kind.namespaced, "kind": kind.name, "categories": list(kind.categories),
    }  # fmt: skip
