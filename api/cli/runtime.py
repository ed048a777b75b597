"""`rnx runtime`: the documents' words for runtimes: list, info, install, test, remove.

Each is a change or a reading of Runtime objects; nothing is installed from here.
"""

import click

from api import kinds
from api.cli import describe as description
from api.cli import runtimes as words
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import age, note, show_columns, show_json
from api.cli.problems import CommandFailed
from api.cli.targets import Target
from api.meta import Document

COMMANDS = {
    "list": Lazy("api.cli.runtime:list_runtimes", "List the versions on this host."),
    "info": Lazy("api.cli.runtime:info", "Show a runtime and what uses it."),
    "install": Lazy("api.cli.runtime_install:install", "Install a runtime."),
    "test": Lazy("api.cli.runtime_install:test", "Run a job in a runtime to see that it works."),
    "remove": Lazy("api.cli.runtime:remove", "Remove a runtime, or one version of it."),
}


@click.group("runtime", cls=LazyGroup, table=COMMANDS)
@reaching
def runtime() -> None:
    """Install runtimes and look after them."""


@click.command("list")
@click.option(
    "--registry",
    is_flag=False,
    flag_value="*",
    metavar="NAME",
    help="What registries offer: not served by the API yet.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_runtimes(connection: Connection, *, registry: str | None, as_json: bool) -> None:
    """List the versions of runtimes on this host."""
    if registry is not None:
        raise click.UsageError(
            "--registry is not supported yet: the API does not serve catalogues: see rnx get registries"
        )
    listing = connection.client.list(kinds.RUNTIME)
    if as_json:
        show_json(listing)
        return
    rows = [row for item in listing["items"] for row in rows_of(item)]
    if not rows:
        note("No runtimes found: install one with rnx runtime install NAME")
        return
    show_columns([["NAME", "VERSION", "STATE", "LATEST", "REGISTRY", "INSTALLED", "MESSAGE"], *rows])


def rows_of(item: Document) -> list[list[str]]:
    """Return a Runtime as rows, one a version, the highest last; one row if there is no version yet."""
    name, status = item["metadata"]["name"], item.get("status", {})
    versions = sorted(status.get("versions") or (), key=lambda version: words.order(version["version"]))
    if not versions:
        reason, message = words.readiness(item)
        return [[name, "", reason or "Pending", "", item.get("spec", {}).get("registry") or "", "", message]]
    return [
        [
            name, version["version"], version.get("state", ""),
            "yes" if version["version"] == status.get("latest") else "",
            version.get("registry", ""), f"{age(version['installedAt'])} ago" if version.get("installedAt") else "",
            version.get("message", ""),
        ]
        for version in versions
    ]  # fmt: skip


@click.command("info")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def info(connection: Connection, *, spec: str, as_json: bool) -> None:
    """Show a runtime, its versions, and the jobs that use it."""
    document = words.find(connection.client, words.parse(spec))
    if as_json:
        show_json(document)
        return
    name = document["metadata"]["name"]
    description.show(connection, Target(kinds.RUNTIME, name), document)
    users = words.users_of(connection.client, name, words.parse(spec).version)
    click.echo(f"Used By:          {', '.join(users) or '<none>'}")


@click.command("remove")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.option("--force", is_flag=True, help="Although jobs use it.")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@reaching
@pass_connection
def remove(connection: Connection, *, spec: str, force: bool, timeout: float | None) -> None:
    """Remove a runtime, or with NAME@VERSION one version of it; refused while jobs use it."""
    from api.cli.runtime_install import drop

    wanted = words.parse(spec)
    document = words.find(connection.client, wanted)
    name = document["metadata"]["name"]
    users = words.users_of(connection.client, name, wanted.version)
    if users and not force:
        raise CommandFailed(f"cannot remove {spec}: it is used by {', '.join(users)}: stop them first, or say --force")
    drop(connection, document, wanted.version, timeout)
    click.echo(f"Runtime {spec} removed")
