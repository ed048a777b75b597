"""`rnx job`: the documents' words for jobs: run, list, status, log, stop, delete.

A job's id is its name; any beginning that only one job has will do.
"""

import math
import shlex

import click

from api import kinds
from api.cli import finished, follow
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.durations import SECONDS
from api.cli.finding import by_beginning
from api.cli.flag_types import Whole
from api.cli.lazy import Lazy, LazyGroup
from api.cli.listing import show_newest
from api.cli.logs import JSON_HELP, show_log
from api.cli.output import age, note, show_columns, show_json, show_json_of, size
from api.cli.problems import CommandFailed
from api.cli.targets import Target
from api.cli.wait_flags import ENDED, waits_until
from api.client import LogRequest
from api.client_watch import wait_for
from api.meta import Document

COMMANDS = {
    "run": Lazy("api.cli.job_run:run", "Run a command, print what it prints, exit as it exits."),
    "list": Lazy("api.cli.job:list_jobs", "List jobs."),
    "status": Lazy("api.cli.job:status", "Show how a job is."),
    "log": Lazy("api.cli.job:log", "Print what a job wrote."),
    "download": Lazy("api.cli.job_download:download", "Fetch the files that a job left."),
    "stop": Lazy("api.cli.job:stop", "Stop jobs; their records stay."),
    "cancel": Lazy("api.cli.job:cancel", "Cancel jobs that have not started."),
    "delete": Lazy("api.cli.job:delete", "Delete jobs."),
    "delete-all": Lazy("api.cli.job:delete_all", "Delete all jobs that have ended."),
    "metrics": Lazy("api.cli.job:metrics", "Show what the runs of a job used."),
}
_ENDED = click.option("--json", "as_json", is_flag=True, help="As JSON: the jobs as they are then.")
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
    head = ["NAME", "STATUS", "REASON", "EXIT", "RUNTIME", "AGE", "COMMAND"]
    show_newest(connection, kinds.JOB, head, _row, all_namespaces=all_namespaces, as_json=as_json)


def _row(item: Document) -> list[str]:
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    last: Document = (finished.runs_of(item) or [{}])[-1]
    exit_code = "" if last.get("exitCode") is None else str(last["exitCode"])
    command = _command_line(item)
    short = command if len(command) <= 60 else command[:57] + "..."
    phase = (status.get("phase", "Pending"), finished.reason_of(item))
    return [
        metadata["name"],
        *phase,
        exit_code,
        spec.get("runtime") or "",
        age(metadata.get("creationTimestamp")),
        short,
    ]


def _command_line(document: Document) -> str:
    spec = document.get("spec", {})
    return shlex.join([*spec.get("command", ()), *spec.get("args", ())])


@click.command("status")
@_JOB
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def status(connection: Connection, *, names: tuple[str, ...], as_json: bool) -> None:
    """Show how jobs are, with their runs and events."""
    from api.cli import describe

    found = (find(connection, name) for name in names)
    if as_json:
        show_json_of(list(found), several=len(names) > 1)
        return
    for document in found:
        describe.show(connection, Target(kinds.JOB, document["metadata"]["name"]), document)


@click.command("log")
@click.argument("name", metavar="JOB", shell_complete=complete_job)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as it writes, until the job's end.")
@click.option("--tail", type=Whole(-1), metavar="LINES", help="Only the last lines; -1 is all.")
@click.option("--since", type=SECONDS, metavar="DURATION", help="Only what is newer, such as 10m.")
@click.option("--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--index", type=Whole(0), metavar="N", help="The last run of this index of an indexed job.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@reaching
@pass_connection
def log(
    connection: Connection, *, name: str, following: bool, tail: int | None, since: float | None, timestamps: bool,
    index: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print what a job wrote."""
    since_seconds = None if since is None else max(1, math.ceil(since))
    lines = None if tail == -1 else tail
    request = LogRequest(follow=following, tail_lines=lines, since_seconds=since_seconds, timestamps=timestamps)
    show_log(connection, f"job/{find(connection, name)['metadata']['name']}", request, index=index, as_json=as_json)


@click.command("stop")
@_JOB
@waits_until(ENDED)
@_ENDED
@reaching
@pass_connection
def stop(connection: Connection, *, names: tuple[str, ...], wait: bool, timeout: float | None, as_json: bool) -> None:
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
        if not as_json:
            click.echo(f"job {name} {'stopped' if wait else 'is being stopped'}")
    _show_now(connection, found, as_json=as_json)


def _show_now(connection: Connection, found: list[Document], *, as_json: bool) -> None:
    """With --json, print jobs as they are now; one that was deleted meanwhile as it was before."""
    if as_json:
        now = {
            each["metadata"]["name"]: each for each in connection.client.list(kinds.JOB, connection.namespace)["items"]
        }
        show_json_of([now.get(each["metadata"]["name"], each) for each in found], several=len(found) > 1)


def _has_ended(document: Document | None) -> bool:
    return document is None or finished.is_finished(document)


@click.command("cancel")
@_JOB
@_ENDED
@reaching
@pass_connection
def cancel(connection: Connection, names: tuple[str, ...], *, as_json: bool) -> None:
    """Cancel jobs that have not started, so that they never do; they stay on record."""
    found = [find(connection, name) for name in names]
    for document in found:
        name = document["metadata"]["name"]
        if finished.is_finished(document):
            raise CommandFailed(f"cannot cancel job {name}: it has ended: rnx job delete {name} removes it")
        if any(map(finished.has_begun, finished.runs_of(document))):
            raise CommandFailed(f"cannot cancel job {name}: it has started: rnx job stop {name} stops it")
        follow.request_stop(connection.client, connection.namespace, name)
        ended = wait_for(
            connection.client, kinds.JOB, connection.namespace, name, until=_has_ended, timeout_seconds=None
        )
        began = ended is not None and any(map(finished.has_begun, finished.runs_of(ended)))
        if not as_json:
            click.echo(f"job {name} {'stopped: it started at that moment' if began else 'cancelled'}")
    _show_now(connection, found, as_json=as_json)


@click.command("delete")
@_JOB
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was deleted.")
@reaching
@pass_connection
def delete(connection: Connection, names: tuple[str, ...], *, as_json: bool) -> None:
    """Delete jobs; a running one is stopped first."""
    found = [Target(kinds.JOB, find(connection, name)["metadata"]["name"]) for name in names]
    delete_and_wait(connection, [(connection.namespace, target) for target in found], Options(as_json=as_json))


@click.command("delete-all")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@reaching
@pass_connection
def delete_all(connection: Connection, *, all_namespaces: bool, as_json: bool) -> None:
    """Delete all jobs that have ended; those that have not are left alone."""
    found = connection.client.list(kinds.JOB, None if all_namespaces else connection.namespace)["items"]
    ended = [item for item in found if finished.is_finished(item)]
    delete_and_wait(
        connection, [(item["metadata"]["namespace"], Target(kinds.JOB, item["metadata"]["name"])) for item in ended],
        Options(quiet=as_json),
    )  # fmt: skip
    counts = {"deleted": len(ended), "skipped": len(found) - len(ended)}
    if as_json:
        show_json(counts)
    else:
        note(f"{counts['deleted']} deleted, {counts['skipped']} that have not ended skipped")


@click.command("metrics")
@click.argument("name", metavar="JOB", shell_complete=complete_job)
@click.option("--json", "as_json", is_flag=True, help="As JSON, a list of runs.")
@reaching
@pass_connection
def metrics(connection: Connection, *, name: str, as_json: bool) -> None:
    """Show what each run of a job used; rnx top shows those that run now."""
    runs = finished.runs_of(find(connection, name))
    used = [(run, run.get("usage") or {}) for run in runs]
    if as_json:
        show_json([{"attempt": run.get("attempt"), "state": run.get("state"), "usage": usage} for run, usage in used])
        return
    rows = [
        [
            run.get("attempt", ""), run.get("state", ""), f"{usage.get('cpuSeconds', 0):.2f}",
            size(usage.get("memoryPeakBytes")), f"{usage.get('throttledSeconds', 0):.2f}",
            size(usage.get("readBytes")), size(usage.get("writtenBytes")),
        ]
        for run, usage in used
    ]  # fmt: skip
    show_columns([["RUN", "STATE", "CPU SECONDS", "MEMORY PEAK", "THROTTLED", "READ", "WRITTEN"], *rows])


def find(connection: Connection, start: str) -> Document:
    """Return the job called `start`, or the only one whose name begins so. Raises CommandFailed."""
    return by_beginning(connection, kinds.JOB, start)
