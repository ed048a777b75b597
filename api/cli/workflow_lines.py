"""A workflow and its jobs as lines for a person. Pure."""

from collections.abc import Iterator

from api.cli.output import age, coloured, columns
from api.meta import Document
from api.types.workflow import Workflow
from api.workflows import expressions

_COUNTS = ("waiting", "active", "succeeded", "failed", "skipped", "cancelled")


def short(document: Document) -> Iterator[str]:
    """Yield how a workflow is, and a line for each of its jobs."""
    yield f"Name:      {document['metadata']['name']}"
    yield from head(document)
    rows = [["JOB", "STATUS", "REASON", "EXIT", "STARTED", "ENDED"]]
    yield from columns([*rows, *(_row(job) for job in jobs(document))])


def head(document: Document) -> Iterator[str]:
    """Yield how the whole is."""
    status = document.get("status", {})
    reason = f" ({status['reason']})" if status.get("reason") else ""
    yield f"Status:    {coloured(status.get('phase', 'Pending'))}{reason}"
    for name, key in (("Message", "message"), ("Started", "startTime"), ("Ended", "completionTime")):
        if status.get(key):
            yield f"{name + ':':<10} {status[key]}"
    counts = ", ".join(f"{status[each]} {each}" for each in _COUNTS if status.get(each))
    yield f"Jobs:      {len(document['spec']['jobs'])}{f': {counts}' if counts else ''}"


def jobs(document: Document) -> list[Document]:
    """Return what is known of each job; all are waiting as long as nothing is."""
    known = document.get("status", {}).get("jobs")
    return list(known or ({"name": name, "phase": "Waiting"} for name in document["spec"]["jobs"]))


def _row(job: Document) -> list[str]:
    exit_code = "" if job.get("exitCode") is None else str(job["exitCode"])
    times = [age(job[key]) if job.get(key) else "" for key in ("startTime", "completionTime")]
    return [
        job["name"],
        job["phase"],
        job.get("reason", ""),
        exit_code,
        *(f"{each} ago" if each else "" for each in times),
    ]


def detailed(document: Document) -> Iterator[str]:
    """Yield what each job requires, what it is made as, and what is said of it."""
    spec = document.get("spec", {})
    if spec.get("description"):
        yield f"Description:      {spec['description']}"
    yield from head(document)
    requirements = Workflow.model_validate(document).spec.jobs
    rows = [["JOB", "STATUS", "REQUIRES", "MADE AS", "EXIT", "STARTED", "ENDED", "MESSAGE"]]
    for job in jobs(document):
        requires = expressions.write(requirements[job["name"]].requirement())
        name, phase, _, *rest = _row(job)
        made = f"job/{job['job']}" if job.get("uid") else ""
        rows.append([name, phase, requires, made, *rest, job.get("message", "")])
    yield from columns(rows)
