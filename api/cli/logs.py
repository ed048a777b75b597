"""`rnx logs`: what a job, or one of its runs, wrote."""

import math

import click

from api import kinds
from api.cli import finished, log_lines, many_logs, run_log, targets
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.flag_types import Whole
from api.cli.problems import CommandFailed
from api.client import Client, LogRequest
from api.client_watch import wait_for
from api.errors import NotFound
from api.meta import Document

JSON_HELP = "As JSON: a document for each line, with its pod, stream and time."


@click.command("logs")
@click.argument("word", metavar="JOB | job/NAME | pod/NAME", shell_complete=complete_job)
@click.option("-f", "--follow", is_flag=True, help="Go on as it writes, until the job's end.")
@click.option("--tail", type=Whole(-1), metavar="LINES", help="Only the last lines; -1 is all.")
@click.option("--since", type=SECONDS, metavar="DURATION", help="Only what is newer, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--stdout", "stream", flag_value="stdout", help="Only standard output.")
@click.option("--stderr", "stream", flag_value="stderr", help="Only standard error.")
@click.option("--attempt", type=Whole(1), metavar="N", help="The N-th run; by default the last.")
@click.option("-p", "--previous", is_flag=True, help="The run before the last.")
@click.option("--index", type=Whole(0), metavar="N", help="The last run of this index of an indexed job.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@reaching
@pass_connection
def logs(
    connection: Connection, *, word: str, follow: bool, tail: int | None, since: float | None, timestamps: bool,
    stream: str | None, attempt: int | None, previous: bool, index: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print what a job wrote: both streams, as they came.

    Of a job of many runs, that is what each index wrote last, or each run; each line has its pod before it.
    """
    request = LogRequest(
        follow=follow,
        tail_lines=None if tail == -1 else tail,
        since_seconds=None if since is None else max(1, math.ceil(since)),
        timestamps=timestamps,
        stream=stream or "",
    )
    if attempt is not None and previous:
        raise click.UsageError("--attempt and --previous cannot be given together")
    if attempt is not None and index is not None:
        raise click.UsageError("--attempt and --index cannot be given together")
    show_log(connection, word, request, attempt=attempt, previous=previous, index=index, as_json=as_json)


class _Plain:
    """One log after the other, byte for byte."""

    def of(self, pod: str) -> run_log.Copy:
        return run_log.to_stdout()


def show_log(
    connection: Connection, word: str, request: LogRequest, *, attempt: int | None = None, previous: bool = False,
    index: int | None = None, as_json: bool = False,
) -> None:  # fmt: skip
    """Print the log of the job or pod that `word` names."""
    request = log_lines.request_of(request) if as_json else request
    one: run_log.Output = log_lines.to_stdout(request.stream) if as_json else _Plain()
    several: run_log.Output = one if as_json else many_logs.to_stdout()
    if request.follow:
        connection.only_one_host("follow a log")
    client, namespace = connection.client, connection.namespace
    kind, name = _named(word)
    job = None if kind is kinds.POD else _job(client, namespace, name, guess=kind is None)
    if job is None:
        many_logs.copy(client, namespace, name, request, one)
    elif finished.has_many_runs(job) and attempt is None and index is None and not previous:
        (many_logs.follow if request.follow else many_logs.show)(client, namespace, job, request, several)
    elif request.follow and attempt is None and index is None and not previous:
        _follow(client, namespace, job, request, one)
    else:
        run = _run(job, attempt, previous=previous, index=index)
        many_logs.copy(client, namespace, finished.pod_of(job, run), request, one)


def _named(word: str) -> tuple[kinds.Kind | None, str]:
    if "/" not in word:
        return None, word
    target = targets.parse_objects((word,))[0]
    if target.kind not in (kinds.JOB, kinds.POD):
        raise click.UsageError(f"a {target.kind.singular} has no log: name a job or a pod")
    return target.kind, target.name


def _job(client: Client, namespace: str, name: str, *, guess: bool) -> Document | None:
    """Return the job, or None if it is a pod's name that was given."""
    try:
        return client.get(kinds.JOB, namespace, name)
    except NotFound:
        stem, _, number = name.rpartition("-")  # JOB-ATTEMPT, or JOB-INDEX-ATTEMPT.
        if not (guess and stem and number.isdigit()):
            raise
        return None


def _run(job: Document, attempt: int | None, *, previous: bool, index: int | None) -> Document:
    runs, name = finished.runs_of(job), job["metadata"]["name"]
    if index is not None:
        runs = finished.of_index(job, index)
        if not runs:
            raise CommandFailed(f"job {name} has no run of index {index} on record: rnx describe job {name} shows them")
    if attempt is not None:
        found = [run for run in runs if run["attempt"] == attempt]
        if not found:
            known = ", ".join(str(run["attempt"]) for run in runs) or "none"
            raise CommandFailed(f"job {name} has no run {attempt} on record: there are {known}")
        return found[0]
    if len(runs) < (2 if previous else 1):
        waiting = finished.waiting_for(job) or "Pending"
        raise CommandFailed(f"job {name} has no previous run" if previous else f"job {name} has not run yet: {waiting}")
    return runs[-2 if previous else -1]


def _follow(client: Client, namespace: str, job: Document, request: LogRequest, output: run_log.Output) -> None:
    """Copy run after run, from the last one on record, until the job has ended."""
    name = job["metadata"]["name"]
    seen = max((run["attempt"] for run in finished.runs_of(job)[:-1]), default=0)

    def has_news(now: Document | None) -> bool:
        if now is None:
            raise CommandFailed(f"job {name} was deleted")
        return finished.is_finished(now) or any(
            run["attempt"] > seen and finished.has_begun(run) for run in finished.runs_of(now)
        )

    while True:
        now = wait_for(client, kinds.JOB, namespace, name, until=has_news, timeout_seconds=None) or job
        fresh = [run for run in finished.runs_of(now) if run["attempt"] > seen and finished.has_begun(run)]
        if not fresh:
            return
        many_logs.copy(client, namespace, finished.pod_of(now, fresh[0]), request, output)
        seen = fresh[0]["attempt"]
