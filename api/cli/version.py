"""`rnx version`: of the command line and of the server."""

import click

from api.cli.connection import Connection, pass_connection, reaching
from api.cli.json_flag import also_json
from api.cli.output import show_json
from api.version import VERSION


@click.command("version")
@click.option("--client", "client_only", is_flag=True, help="Do not ask the server.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Another form of output.")
@also_json
@reaching
@pass_connection
def version(connection: Connection, *, client_only: bool, output: str | None) -> None:
    """Print the versions of rnx and of the server."""
    if output != "json":
        click.echo(f"Client Version: {VERSION}")
    server = None if client_only else connection.client.version()
    if output == "json":
        show_json({"clientVersion": {"gitVersion": VERSION}} | ({"serverVersion": server} if server else {}))
    elif server:
        click.echo(f"Server Version: {server.get('gitVersion', 'unknown')}")
