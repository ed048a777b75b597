"""Which run a person means who wants to go into one: a job's running one, or a pod by its name."""

from dataclasses import dataclass
from typing import Any

import click

from api import kinds
from api.cli import finished, targets
from api.cli.connection import Connection
from api.cli.flag_types import Whole
from api.cli.problems import CommandFailed
from api.errors import NotFound
from api.meta import Document

_TOLD = 10


@dataclass(frozen=True, slots=True)
class Running:
    """A run by its pod's name; `job` is empty if only that was named."""

    namespace: str
    pod: str
    job: str = ""


def find(connection: Connection, word: str, attempt: int | None = None, index: int | None = None) -> Running:
    """Return the run that `word` means: JOB, job/NAME, pod/NAME or a pod's name.

    Raises:
        CommandFailed: the job has no running run, or several.
        NotFound: there is no such job or pod.
    """
    kind, name = _named(word)
    if kind is kinds.POD:
        return Running(connection.namespace, name)
    try:
        job = connection.client.get(kinds.JOB, connection.namespace, name)
    except NotFound:
        stem, _, number = name.rpartition("-")
        if kind is None and stem and number.isdigit():
            return Running(connection.namespace, name)
        raise
    finished.check_indexed(job, index)
    runs = [run for run in finished.runs_of(job) if run.get("state") == "Running"]
    chosen = [run for run in runs if attempt in (None, run["attempt"]) and index in (None, run.get("index"))]
    if not chosen:
        phase = job.get("status", {}).get("phase", "Pending")
        which = f" {attempt}" if attempt is not None else f" of index {index}" if index is not None else ""
        raise CommandFailed(f"cannot go into job {name}: its run{which} is not running ({phase})")
    if len(chosen) > 1:
        raise CommandFailed(f"cannot go into job {name}: {len(chosen)} runs of it are running: {_say_which(chosen)}")
    return Running(connection.namespace, finished.pod_of(job, chosen[-1]), name)


def of_index(command: Any) -> Any:
    """Add the option --index to a command that goes into a run."""
    say = "The run of this index of an indexed job."
    return click.option("--index", type=Whole(0), metavar="N", help=say)(command)


def _say_which(runs: list[Document]) -> str:
    """Return how to say which of several runs is meant."""
    flag, known = ("--index", "index") if runs[0].get("index") is not None else ("--attempt", "attempt")
    numbers = sorted(run[known] for run in runs)
    told = ", ".join(map(str, numbers[:_TOLD])) + (", …" if len(numbers) > _TOLD else "")
    return f"say which with {flag}, one of {told}"


def _named(word: str) -> tuple[kinds.Kind | None, str]:
    if "/" not in word:
        return None, word
    target = targets.parse_objects((word,))[0]
    if target.kind not in (kinds.JOB, kinds.POD):
        raise click.UsageError(f"nothing runs in a {target.kind.singular}: name a job or a pod")
    return target.kind, target.name
