"""Jobs of many runs for a person: the flags of `rnx job run`, and what `rnx describe` tells of them. Pure."""

from collections.abc import Iterator

import click

from api.cli import finished
from api.indexes import Indexes
from api.meta import Document


def fields(completions: int | None, parallelism: int | None, *, indexed: bool, takes_input: bool) -> Document:
    """Return what the flags put into a Job's spec. Raises UsageError."""
    if indexed and completions is None:
        raise click.UsageError("--indexed needs to know how many runs there are: add --completions=N")
    if takes_input and (indexed or (completions or 1) > 1 or (parallelism or 1) > 1):
        raise click.UsageError("--stdin is for a job of one run: leave it out, or --completions and --parallelism")
    spec: Document = {} if completions is None else {"completions": completions}
    spec |= {} if parallelism is None else {"parallelism": parallelism}
    return spec | ({"completionMode": "Indexed"} if indexed else {})


def rows(job: Document) -> Iterator[tuple[str, str]]:
    """Yield what `rnx describe` says of how far a job of many runs is; nothing of any other."""
    if not finished.has_many_runs(job):
        return
    spec, status = job.get("spec", {}), job.get("status", {})
    yield "Parallelism", str(spec.get("parallelism", 1))
    if spec.get("completions") is None:
        yield "Completions", "any one"
    else:
        yield "Completions", f"{spec['completions']} ({spec.get('completionMode', 'NonIndexed')})"
    counts = [f"{status.get(name, 0)} {word}" for name, word in _COUNTS]
    yield "Runs Now", " / ".join(counts)
    if spec.get("completionMode") != "Indexed":
        return
    yield "Completed Indexes", status.get("completedIndexes") or "<none>"
    if spec.get("backoffLimitPerIndex") is not None:
        yield "Failed Indexes", status.get("failedIndexes") or "<none>"
        yield "Retries per Index", str(spec["backoffLimitPerIndex"])
    active = {run["index"] for run in finished.runs_of(job) if run.get("state") != "Ended" and "index" in run}
    over = Indexes.parse(status.get("completedIndexes")) | Indexes.parse(status.get("failedIndexes"))
    yield "Active Indexes", str(Indexes.of(active)) or "<none>"
    left = over | Indexes.of(active)
    yield "Waiting Indexes", str(Indexes.of(left.lacking(int(spec.get("completions") or 0)))) or "<none>"


_COUNTS = (("active", "active"), ("ready", "running"), ("succeeded", "succeeded"), ("failed", "failed"))
