"""Which jobs and runs use which versions of runtimes, read from the jobs in the store. Pure.

Never here: what may be removed while nobody does (`keeping.py`, `kind.py`).
Invariant: a run that has not ended uses its version, and so does a job that may yet retry with it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from api import runtime_spec
from api.kinds import RUNTIME
from api.meta import Document, ObjectKey, read_time
from api.ports import Change

_ALWAYS = datetime.min.replace(tzinfo=UTC)


def users_by_version(name: str, jobs: Iterable[Document]) -> dict[str, tuple[str, ...]]:
    """Return the jobs that use each version of the runtime `name`: in a run that has not ended, or for a retry."""
    users: dict[str, list[str]] = {}
    for job in jobs:
        for used in sorted(_runtimes_of(job)):
            runtime, _, version = used.rpartition("@")
            if runtime == name:
                users.setdefault(version, []).append(str(ObjectKey.of(job)))
    return {version: tuple(names) for version, names in users.items()}


def used(jobs: Iterable[Document]) -> frozenset[str]:
    """Return all runtime versions that are in use, each as NAME@VERSION."""
    return frozenset().union(*(_runtimes_of(job) for job in jobs))


def running_since(name: str, jobs: Iterable[Document]) -> dict[str, datetime]:
    """Return when the oldest run of each version of `name` started that has not ended; one not known began long ago."""
    since: dict[str, datetime] = {}
    for job in jobs:
        for run in job.get("status", {}).get("runs", ()):
            runtime, _, version = run.get("runtime", "").rpartition("@")
            if runtime == name and run.get("state") != "Ended":
                since[version] = min(_started(run), since.get(version, datetime.max.replace(tzinfo=UTC)))
    return since


def released_by(change: Change) -> tuple[ObjectKey, ...]:
    """Return the runtimes that a change of a job set free, in whole or in part.

    One may wait to be removed, another may have been asked for by nobody else.
    """
    before, is_gone = change.previous or change.document, change.type == "DELETED"
    still = set() if is_gone else _runs_of(change.document)
    names = {used.rpartition("@")[0] for _, used in _runs_of(before) - still} - {""}
    names |= _asked(before) - (set() if is_gone else _asked(change.document))
    return tuple(ObjectKey(RUNTIME.name, "", name) for name in sorted(names))


def _runs_of(job: Document) -> set[tuple[object, str]]:
    """Return the runs of a job that have not ended, and the job itself, each with the version that it uses."""
    runs = job.get("status", {}).get("runs", ())
    going = {(run.get("attempt"), run.get("runtime", "")) for run in runs if run.get("state") != "Ended"}
    return going | {(None, version) for version in _runtimes_of(job)}


def _asked(job: Document) -> set[str]:
    """Return the name of the runtime that a job asks for until it has ended; nothing for one that asks by language."""
    said = "" if _is_over(job) else job["spec"].get("runtime") or ""
    name = runtime_spec.parse(said).name if said else None
    return {name} if name else set()


def _is_over(job: Document) -> bool:
    is_finished = job.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return is_finished or "deletionTimestamp" in job["metadata"]


def _started(run: Document) -> datetime:
    try:
        return read_time(run["startedAt"])
    except (KeyError, ValueError):
        return _ALWAYS


def _runtimes_of(job: Document) -> set[str]:
    """Return the runtime versions that a job uses, each as NAME@VERSION."""
    status = job.get("status", {})
    runs = status.get("runs", ())
    used = {run.get("runtime", "") for run in runs if run.get("state") != "Ended"}
    # A job keeps the version of its first run through all retries.
    return used if _is_over(job) or not runs else used | {status.get("resolvedRuntime", "")}
