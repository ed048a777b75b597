"""`rnx runtime test`: whether a runtime works: by the daemon's own health check, or by a job with a command."""

import click

from api import kinds
from api.cli import follow
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.job_run import document_of
from api.cli.output import show_json
from api.cli.problems import CommandFailed
from api.cli.runtime_ask import look
from api.runtime_requests import Request


@click.command("test", context_settings={"allow_interspersed_args": False})
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND…]")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def test(connection: Connection, *, spec: str, command: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """See whether a runtime works: libraries, interpreter and healthCheck, as its condition Healthy says; or COMMAND.

    \b
    Exit status: 0 it works, 1 it does not; COMMAND's own where one is given.
    """
    if command and command[0].startswith("-"):
        raise click.UsageError(f"cannot run {command[0]}: options of rnx runtime test stand before {spec}")
    if command:
        _run(connection, spec, command, as_json=as_json)
        return
    look(connection, spec, Request.TEST, timeout, as_json=as_json)


def _run(connection: Connection, spec: str, command: tuple[str, ...], *, as_json: bool) -> None:
    document = document_of(command, runtime=spec, max_runtime=60.0)
    document["metadata"] = {"generateName": "test-"}
    answer = connection.client.create(kinds.JOB, connection.namespace, document)
    name = str(answer.document["metadata"]["name"])
    try:
        job = follow.attached(connection.client, connection.namespace, name, quiet=as_json)
    finally:
        connection.client.delete(kinds.JOB, connection.namespace, name)
    if as_json:
        show_json(job)
    code = follow.exit_code(job)
    if code:
        raise CommandFailed(f"runtime {spec} does not work: {' '.join(command)} ended with {code}", exit_code=code)
    if not as_json:
        click.echo(f"Runtime {spec} works")
