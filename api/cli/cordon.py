"""`rnx cordon` and `rnx uncordon`: whether the host takes further runs, as kubectl says it.

There is one node per host, so its name may be left out. Safe to repeat: what is so already is said, and is no error.
"""

import click

from api import kinds
from api.cli.completing import complete_node
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.output import show_json
from api.meta import Document

_NODE = click.argument("name", required=False, metavar="[NODE]", shell_complete=complete_node)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON: the node as it is then.")


@click.command("cordon")
@_NODE
@_AS_JSON
@reaching
@pass_connection
def cordon(connection: Connection, *, name: str | None, as_json: bool) -> None:
    """Let no further run begin on the host; those that run go on, and jobs that want one wait.

    \b
    rnx cordon
    rnx cordon --host 'web*'
    """
    _close(connection, name, closed=True, as_json=as_json)


@click.command("uncordon")
@_NODE
@_AS_JSON
@reaching
@pass_connection
def uncordon(connection: Connection, *, name: str | None, as_json: bool) -> None:
    """Let runs begin on the host again."""
    _close(connection, name, closed=False, as_json=as_json)


def _close(connection: Connection, name: str | None, *, closed: bool, as_json: bool) -> None:
    client, asked = connection.client, False

    def patch_for(node: Document) -> Document | None:
        nonlocal asked
        asked = bool(node.get("spec", {}).get("unschedulable")) != closed
        return {"spec": {"unschedulable": closed or None}} if asked else None

    name = (name or "").removeprefix("node/") or client.list(kinds.NODE)["items"][0]["metadata"]["name"]
    node = client.change(kinds.NODE, "", name, patch_for)
    if as_json:
        show_json(node)
    else:
        click.echo(f"node/{name} {'' if asked else 'already '}{'cordoned' if closed else 'uncordoned'}")
