"""`rnx workflow`: the documents' words for workflows: run, list, status, cancel, delete."""

from datetime import UTC, datetime

import click

from api import kinds
from api.cli import describe as description
from api.cli import finished, workflow_lines
from api.cli.completing import complete_workflow
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.finding import by_beginning
from api.cli.lazy import Lazy, LazyGroup
from api.cli.listing import show_newest
from api.cli.output import age, note, show_json_of
from api.cli.targets import Target
from api.cli.wait_flags import ENDED, waits_until
from api.client_watch import wait_for
from api.meta import Document, wire_time
from api.types.workflow import STOP_ANNOTATION, done

COMMANDS = {
    "run": Lazy("api.cli.workflow_run:run", "Run a workflow of a file."),
    "list": Lazy("api.cli.workflow:list_workflows", "List workflows."),
    "status": Lazy("api.cli.workflow:status", "Show how a workflow and its jobs are."),
    "cancel": Lazy("api.cli.workflow:cancel", "End workflows; their records stay."),
    "delete": Lazy("api.cli.workflow:delete", "Delete workflows and their jobs."),
}
_NAMES = click.argument("names", nargs=-1, required=True, metavar="WORKFLOW…", shell_complete=complete_workflow)


@click.group("workflow", cls=LazyGroup, table=COMMANDS)
@reaching
def workflow() -> None:
    """Run workflows and look after them."""


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_workflows(connection: Connection, *, all_namespaces: bool, as_json: bool) -> None:
    """List workflows, the newest first."""
    head = ["NAME", "STATUS", "REASON", "DONE", "AGE", "DESCRIPTION"]
    show_newest(connection, kinds.WORKFLOW, head, _row, all_namespaces=all_namespaces, as_json=as_json)


def _row(item: Document) -> list[str]:
    metadata, status = item["metadata"], item.get("status", {})
    phase = [status.get("phase", "Pending"), status.get("reason", ""), done(item)]
    return [metadata["name"], *phase, age(metadata["creationTimestamp"]), item["spec"].get("description", "")]


@click.command("status")
@_NAMES
@click.option("--detail", is_flag=True, help="Also what each job requires, runs and says, and the events.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def status(connection: Connection, *, names: tuple[str, ...], detail: bool, as_json: bool) -> None:
    """Show how workflows and their jobs are."""
    found = (by_beginning(connection, kinds.WORKFLOW, name) for name in names)
    if as_json:
        show_json_of(list(found), several=len(names) > 1)
        return
    for document in found:
        if detail:
            description.show(connection, Target(kinds.WORKFLOW, document["metadata"]["name"]), document)
        else:
            for line in workflow_lines.short(document):
                click.echo(line)


@click.command("cancel")
@_NAMES
@waits_until(ENDED)
@click.option("--json", "as_json", is_flag=True, help="As JSON: the workflows as they are then.")
@reaching
@pass_connection
def cancel(connection: Connection, *, names: tuple[str, ...], wait: bool, timeout: float | None, as_json: bool) -> None:
    """End workflows: jobs that run are stopped, no others are begun, and all stay on record."""
    client, namespace = connection.client, connection.namespace
    found = [by_beginning(connection, kinds.WORKFLOW, name) for name in names]
    for document in found:
        name = document["metadata"]["name"]
        if finished.is_finished(document):
            note(f"workflow {name} has ended already ({document['status'].get('phase')})")
            continue
        asked = {"metadata": {"annotations": {STOP_ANNOTATION: wire_time(datetime.now(UTC))}}}
        client.merge_patch(kinds.WORKFLOW, namespace, name, asked)
        ended: Document | None = None
        if wait:
            ended = wait_for(client, kinds.WORKFLOW, namespace, name, until=has_ended, timeout_seconds=timeout)
        phase = (ended or {}).get("status", {}).get("phase", "")
        said = "is being cancelled" if not wait else "cancelled" if phase in ("", "Cancelled") else f"ended: {phase}"
        if not as_json:
            click.echo(f"workflow {name} {said}")
    if as_json:
        now = {each["metadata"]["name"]: each for each in client.list(kinds.WORKFLOW, namespace)["items"]}
        show_json_of([now.get(each["metadata"]["name"], each) for each in found], several=len(names) > 1)


def has_ended(document: Document | None) -> bool:
    """Say whether a workflow has ended for good, or is gone."""
    return document is None or finished.is_finished(document)


@click.command("delete")
@_NAMES
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was deleted.")
@reaching
@pass_connection
def delete(connection: Connection, names: tuple[str, ...], *, as_json: bool) -> None:
    """Delete workflows, and their jobs after them; those that run are stopped."""
    found = [by_beginning(connection, kinds.WORKFLOW, name)["metadata"]["name"] for name in names]
    wanted = [(connection.namespace, Target(kinds.WORKFLOW, name)) for name in found]
    delete_and_wait(connection, wanted, Options(as_json=as_json))
