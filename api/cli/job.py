"""`rnx job`: the documents' words for jobs: run, list, status, log, stop, delete.

A job's id is its name; any beginning that only one job has will do.
"""

import math

import click

from api import kinds
from api.cli import describe as description
from api.cli import finished, follow
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import delete_and_wait
from api.cli.durations import SECONDS
from api.cli.job_run import command_line
from api.cli.lazy import Lazy, LazyGroup
from api.cli.logs import show_log
from api.cli.output import age, note, show_columns, show_json
from api.cli.problems import CommandFailed
from api.cli.targets import Target
from api.client import LogRequest
from api.client_watch import wait_for
from api.meta import Document

COMMANDS = {
    "run": Lazy("api.cli.job_run:run", "Run a command, print what it prints, exit as it exits."),
    "list": Lazy("api.cli.job:list_jobs", "List jobs."),
    "status": Lazy("api.cli.job:status", "Show how a job is."),
    "log": Lazy("api.cli.job:log", "Print what a job wrote."),
    "stop": Lazy("api.cli.job:stop", "Stop jobs; their records stay."),
    "delete": Lazy("api.cli.job:delete", "Delete jobs."),
}
_JOB = click.argument("names", nargs=-1, required=True, metavar="JOB…", shell_complete=complete_job)


@click.group("job", cls=LazyGroup, table=COMMANDS)
@reaching
def job() -> None:
    """Run jobs and look after them."""


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_jobs(connection: Connection, *, all_namespaces: bool, as_json: bool) -> None:
    """List jobs, the newest first."""
    listing = connection.client.list(kinds.JOB, None if all_namespaces else connection.namespace)
    if as_json:
        show_json(listing)
        return
    if not listing["items"]:
        note("No jobs found" + ("" if all_namespaces else f" in {connection.namespace} namespace"))
        return
    newest = sorted(listing["items"], key=_age_order, reverse=True)
    head = ["NAME", "STATUS", "REASON", "EXIT", "RUNTIME", "AGE", "COMMAND"]
    rows = [[*([item["metadata"]["namespace"]] if all_namespaces else []), *_row(item)] for item in newest]
    show_columns([[*(["NAMESPACE"] if all_namespaces else []), *head], *rows])


def _age_order(item: Document) -> tuple[str, int]:
    """Return a sort key, oldest first; within a second, which is all that is kept, the one written last is newer."""
    metadata = item["metadata"]
    revision = str(metadata.get("resourceVersion", ""))
    return str(metadata.get("creationTimestamp", "")), int(revision) if revision.isdecimal() else 0


def _row(item: Document) -> list[str]:
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    last: Document = (finished.runs_of(item) or [{}])[-1]
    exit_code = "" if last.get("exitCode") is None else str(last["exitCode"])
    command = command_line(item)
    short = command if len(command) <= 60 else command[:57] + "..."
    phase = (status.get("phase", "Pending"), status.get("reason", ""))
    return [
        metadata["name"],
        *phase,
        exit_code,
        spec.get("runtime") or "",
        age(metadata.get("creationTimestamp")),
        short,
    ]


@click.command("status")
@_JOB
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def status(connection: Connection, *, names: tuple[str, ...], as_json: bool) -> None:
    """Show how jobs are, with their runs and events."""
    for name in names:
        document = find(connection, name)
        if as_json:
            show_json(document)
        else:
            description.show(connection, Target(kinds.JOB, document["metadata"]["name"]), document)


@click.command("log")
@click.argument("name", metavar="JOB", shell_complete=complete_job)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as it writes, until the job's end.")
@click.option("--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.option("--since", type=SECONDS, metavar="DURATION", help="Only what is newer, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Put the time before each line.")
@reaching
@pass_connection
def log(
    connection: Connection, *, name: str, following: bool, tail: int | None, since: float | None, timestamps: bool
) -> None:
    """Print what a job wrote."""
    since_seconds = None if since is None else max(1, math.ceil(since))
    request = LogRequest(follow=following, tail_lines=tail, since_seconds=since_seconds, timestamps=timestamps)
    show_log(connection, f"job/{find(connection, name)['metadata']['name']}", request)


@click.command("stop")
@_JOB
@click.option(
    "--wait",
    default=True,
    is_flag=False,
    flag_value="true",
    type=bool,
    metavar="true|false",
    show_default=True,
    help="Wait until they have ended.",
)
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@reaching
@pass_connection
def stop(connection: Connection, *, names: tuple[str, ...], wait: bool, timeout: float | None) -> None:
    """Stop jobs: their runs get SIGTERM, then SIGKILL; they are not tried again, and stay on record."""
    found = [find(connection, name) for name in names]
    for document in found:
        name = document["metadata"]["name"]
        if finished.is_finished(document):
            note(
                f"job {name} has ended already ({document['status'].get('reason') or document['status'].get('phase')})"
            )
            continue
        follow.request_stop(connection.client, connection.namespace, name)
        if wait:
            wait_for(
                connection.client, kinds.JOB, connection.namespace, name, until=_has_ended, timeout_seconds=timeout
            )
        click.echo(f"job {name} {'stopped' if wait else 'is being stopped'}")


def _has_ended(document: Document | None) -> bool:
    return document is None or finished.is_finished(document)


@click.command("delete")
@_JOB
@reaching
@pass_connection
def delete(connection: Connection, names: tuple[str, ...]) -> None:
    """Delete jobs; a running one is stopped first."""
    found = [Target(kinds.JOB, find(connection, name)["metadata"]["name"]) for name in names]
    delete_and_wait(connection, [(connection.namespace, target) for target in found])


def find(connection: Connection, start: str) -> Document:
    """Return the job called `start`, or the only one whose name begins so.

    Raises:
        CommandFailed: none does, or several do.
    """
    start = start.rpartition("/")[2]  # As `get -o name` prints it.
    items = connection.client.list(kinds.JOB, connection.namespace)["items"]
    exact = [item for item in items if item["metadata"]["name"] == start]
    found = exact or [item for item in items if start and item["metadata"]["name"].startswith(start)]
    if len(found) == 1:
        return dict(found[0])
    if not found:
        raise CommandFailed(f'there is no job "{start}" in namespace {connection.namespace}: rnx job list shows all')
    names = ", ".join(item["metadata"]["name"] for item in found[:5])
    raise CommandFailed(
        f'"{start}" may mean {len(found)} jobs ({names}{", …" if len(found) > 5 else ""}): write more of the name'
    )
