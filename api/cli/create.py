"""`rnx create`: `rnx create job NAME --from=cronjob/NAME` runs the job of a CronJob now, as kubectl has it."""

import click

from api import kinds
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.dry_run import dry_run_flag
from api.cli.json_flag import also_json
from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import note, show_json, show_yaml
from api.cli.targets import parse_objects
from api.types import cron_job as types

COMMANDS = {"job": Lazy("api.cli.create:job", "Make a job from a CronJob, to run now.")}


@click.group("create", cls=LazyGroup, table=COMMANDS)
@reaching
def create() -> None:
    """Make objects. Files are for `rnx apply`, commands for `rnx job run`."""


@click.command("job")
@click.argument("name", metavar="NAME")
@click.option(
    "--from", "source", required=True, metavar="cronjob/NAME", shell_complete=complete_target,
    help="The CronJob whose job it is.",
)  # fmt: skip
@dry_run_flag("make")
@click.option("-o", "--output", type=click.Choice(["name", "json", "yaml"]), help="What to print of the job.")
@also_json
@reaching
@pass_connection
def job(connection: Connection, *, name: str, source: str, dry_run: str, output: str | None) -> None:
    """Make a job from a CronJob, to run now. The schedule goes on as it is, and policies do not hold it up.

    \b
    rnx create job report-now --from=cronjob/report
    """
    targets = parse_objects((source,)) if "/" in source else ()
    if len(targets) != 1 or targets[0].kind is not kinds.CRON_JOB:
        raise click.UsageError(f'--from: "{source}" is no CronJob: write cronjob/NAME')
    cron_job = connection.client.get(kinds.CRON_JOB, connection.namespace, targets[0].name)
    document = types.job_of(cron_job, name, {types.MANUAL_ANNOTATION: "manual"})
    answer = connection.client.create(kinds.JOB, connection.namespace, document, dry_run=dry_run == "server")
    for warning in answer.warnings:
        note(f"Warning: {warning}")
    if output in ("json", "yaml"):
        (show_json if output == "json" else show_yaml)(answer.document)
        return
    what = f"{kinds.JOB.singular}.{kinds.JOB.group}/{name}"
    how = " (server dry run)" if dry_run == "server" else ""
    click.echo(what if output == "name" else f"{what} created{how}")
