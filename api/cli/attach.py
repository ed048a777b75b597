"""`rnx attach`: what a running job prints, from now on, and with `-i` what it reads."""

import click

from api import kinds
from api.cli import finished, run_targets, streaming
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.flag_types import Whole
from api.cli.problems import CommandFailed
from api.cli.run_targets import Running
from api.client_watch import wait_for
from api.meta import Document


@click.command("attach")
@click.argument("word", metavar="JOB | job/NAME | pod/NAME", shell_complete=complete_job)
@click.option("-i", "--stdin", "takes_input", is_flag=True, help="Pass standard input on, if the job has spec.stdin.")
@click.option("--attempt", type=Whole(1), metavar="N", help="The N-th run; by default the running one.")
@run_targets.of_index
@reaching
@pass_connection
def attach(
    connection: Connection, *, word: str, takes_input: bool, attempt: int | None, index: int | None
) -> None:  # fmt: skip
    """Copy what a running job prints, from now on, until it ends; then exit as it did.

    An interrupt leaves the job to itself. What it printed before is in its log: rnx logs. With spec.stdinOnce, the
    job's standard input ends when yours does, or when you leave.
    """
    connection.only_one_host("attach")
    run = run_targets.find(connection, word, attempt, index)
    with connection.client.attach(run.namespace, run.pod, takes_input=takes_input) as stream:
        streaming.converse(stream, takes_input=takes_input, is_terminal=False, sends_signals=False)
    if run.job and (code := _exit_code(connection, run)):
        raise CommandFailed(exit_code=code)


def _exit_code(connection: Connection, run: Running) -> int:
    """Return the exit code of a run whose output has ended; 0 if it was deleted."""

    def of_run(job: Document | None) -> Document:
        runs = [] if job is None else finished.runs_of(job)
        return next((each for each in runs if finished.pod_of(job or {}, each) == run.pod), {"state": "Ended"})

    def has_ended(job: Document | None) -> bool:
        return bool(of_run(job).get("state") == "Ended")

    job = wait_for(connection.client, kinds.JOB, run.namespace, run.job, until=has_ended, timeout_seconds=None)
    code = of_run(job).get("exitCode")
    return finished.NEVER_RAN_EXIT if code is None and job is not None else int(code or 0)
