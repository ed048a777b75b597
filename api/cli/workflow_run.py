"""`rnx workflow run FILE`: a file becomes a Workflow, and what in it is secret a Secret that goes with it."""

from collections.abc import Callable

import click
from pydantic import ValidationError

from api import kinds
from api.cli import workflow_file
from api.cli.before_run import warn_of_volumes
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.joblet_workflow import Converted
from api.cli.network import why_unknown
from api.cli.output import note, show_json, show_yaml
from api.cli.problems import CommandFailed
from api.cli.workflow import has_ended
from api.client_transport import Answer
from api.client_watch import wait_for
from api.errors import ApiError
from api.meta import Document
from api.types.workflow import Workflow, WorkflowReason


@click.command("run")
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--name", default="", metavar="NAME", help="The workflow's name; by default the file's and five letters.")
@click.option("--wait", "waits", is_flag=True, help="Wait for its end; exit status 1 unless it succeeded.")
@click.option(
    "--print", "prints", is_flag=True, help="Print the objects for rnx apply, secret values too; run nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the workflow as JSON, at its end with --wait.")
@reaching
@pass_connection
def run(connection: Connection, *, file: str, name: str, waits: bool, prints: bool, as_json: bool) -> None:
    """Run a workflow: a file as Joblet writes them, or a Workflow.

    \b
    rnx workflow run pipeline.yaml
    rnx workflow run pipeline.yaml --name=nightly --wait
    """
    found = workflow_file.read(file, name)
    for text in found.notes:
        note(text)
    if prints:
        for document in (*((found.secret(),) if found.secrets else ()), found.workflow):
            show_yaml(document)
            click.echo("---")
        return
    _check(connection, file, found.workflow)
    made = _create(connection, found)
    called = str(made["metadata"]["name"])
    if not waits:
        show_json(made) if as_json else click.echo(f"workflow {called} is running")
        return
    _tell_end(called, _wait(connection, called, quiet=as_json), as_json=as_json)


def _check(connection: Connection, file: str, document: Document) -> None:
    """Refuse networks that nobody has declared, and warn of volumes that are not there, as `rnx job run` does.

    Raises:
        CommandFailed: a job of it would wait for a network.
    """
    try:
        jobs = Workflow.model_validate(document).spec.jobs
    except ValidationError:
        return  # The server says what is wrong with it.
    specs = {name: job.template.spec for name, job in jobs.items()}
    networks = {spec.network.name: name for name, spec in reversed(specs.items()) if spec.network}
    for network, job in reversed(networks.items()):
        if why := why_unknown(connection, network):
            raise CommandFailed(f"cannot run {file}: jobs.{job}.network: {why}")
    warn_of_volumes(
        connection, list(dict.fromkeys(each.name for spec in specs.values() for each in spec.volume_mounts))
    )


def _wait(connection: Connection, name: str, *, quiet: bool) -> Document | None:
    """Return the workflow once it has ended; who is interrupted meanwhile is told that it goes on."""
    try:
        if not quiet:
            click.echo(f"workflow {name} is running")
        until = has_ended if quiet else _telling_why_it_waits(name)
        return wait_for(
            connection.client, kinds.WORKFLOW, connection.namespace, name, until=until, timeout_seconds=None
        )
    except KeyboardInterrupt:
        note(f"workflow {name} goes on: rnx workflow cancel {name} ends it")
        raise


def _telling_why_it_waits(name: str) -> Callable[[Document | None], bool]:
    """Return what says whether the workflow has ended, and tells, each time anew, what a job of it waits for."""
    told: list[str] = []

    def is_over(document: Document | None) -> bool:
        nonlocal told
        status = (document or {}).get("status", {})
        why = status.get("message", "") if status.get("reason") == WorkflowReason.JOB_WAITS else ""
        of = why.split(": ")[:2]  # Which job and which reason: its place in the queue is no news.
        if why and of != told:
            note(f"workflow {name}: {why}")
        told = of
        return has_ended(document)

    return is_over


def _create(connection: Connection, found: Converted) -> Document:
    """Make the workflow, and first of all what its jobs need: it is held meanwhile, and gone if that is refused."""
    client, namespace = connection.client, connection.namespace
    if not found.secrets:
        return _said(client.create(kinds.WORKFLOW, namespace, found.workflow))
    held = found.workflow | {"spec": found.workflow["spec"] | {"suspend": True}}
    made = _said(client.create(kinds.WORKFLOW, namespace, held))
    name, uid = str(made["metadata"]["name"]), str(made["metadata"]["uid"])
    try:
        client.create(kinds.SECRET, namespace, found.secret(uid))
        return client.merge_patch(kinds.WORKFLOW, namespace, name, {"spec": {"suspend": False}})
    except ApiError:
        client.delete(kinds.WORKFLOW, namespace, name, uid=uid)
        raise


def _said(answer: Answer) -> Document:
    for warning in answer.warnings:
        note(f"Warning: {warning}")
    return answer.document


def _tell_end(name: str, ended: Document | None, *, as_json: bool) -> None:
    if ended is None:
        raise CommandFailed(f"workflow {name} was deleted")
    status = ended["status"]
    if as_json:
        show_json(ended)
    else:
        click.echo(f"workflow {name} {status['phase'].lower()}: {status['message']}")
    if status["phase"] != "Succeeded":
        raise CommandFailed()
