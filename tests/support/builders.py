"""Objects for tests, with everything that a test does not care about filled in."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.meta import API_VERSION, Document, wire_micro_time
from api.types.job import Job, Run, RunState
from controller.job.observed import ObservedJob, ObservedRun, RuntimeReady
from controller.launcher.records import Exited, ExitRecord, Lost, Running, Unclaimed

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BOOT = "11111111-2222-3333-4444-555555555555"
UID = "0b0a1ea8-6f4d-4a52-9a5f-0f6c5a1f0001"


def a_job_document(name: str = "etl", /, namespace: str = "default", **spec: Any) -> Document:
    """A Job as a user writes it."""
    wanted = {"command": ["true"], **spec}
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": wanted,
    }


def a_job(name: str = "etl", /, *, status: Document | None = None, meta: Document | None = None, **spec: Any) -> Job:
    """A Job as the store has it."""
    document = a_job_document(name, **spec)
    document["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "1"}
    document["metadata"] |= {"creationTimestamp": "2026-01-02T03:00:00Z", **(meta or {})}
    return Job.model_validate(document | {"status": status or {}})


def with_runs(job: Job, *runs: Run, **status: Any) -> Job:
    """The job with these runs on record, all of its present template unless they say otherwise."""
    template = job.spec.template_hash()
    mine = [run if run.template_hash else run.model_copy(update={"template_hash": template}) for run in runs]
    update = {"runs": tuple(mine), "attempts": len(mine), "template_hash": template, "observed_generation": 1, **status}
    return job.model_copy(update={"status": job.status.model_copy(update=update)})


def a_run(attempt: int = 1, state: RunState = RunState.PENDING, **fields: Any) -> Run:
    """A run on record."""
    return Run(**{"attempt": attempt, "state": state, "boot_id": BOOT, **fields})


def a_failed_run(attempt: int = 1, *, seconds_ago: float = 0, reason: str = "Error", **fields: Any) -> Run:
    """A run on record that failed."""
    finished = wire_micro_time(NOW - timedelta(seconds=seconds_ago))
    return a_run(
        attempt, RunState.ENDED, reason=reason, exit_code=1, finished_at=finished, message="exit code 1", **fields
    )


def observed_job(*runs: ObservedRun, **fields: Any) -> ObservedJob:
    """What is on the host."""
    return ObservedJob(**{"now": NOW, "boot_id": BOOT, "runs": runs, "runtime": RuntimeReady(), **fields})


def unclaimed(attempt: int = 1) -> ObservedRun:
    """A run directory in which nothing happened yet."""
    return ObservedRun(attempt, Unclaimed())


def running(attempt: int = 1, **fields: Any) -> ObservedRun:
    """A run that is running."""
    fields.setdefault("may_be_frozen", fields.get("frozen", False))
    return ObservedRun(attempt, Running(4711, 99, "2026-01-02T03:04:00.000000000Z"), **fields)


def held(moment: datetime, began: datetime | None = None, attempt: int = 1) -> ObservedRun:
    """A run that was made ready for its moment, and has begun if it says when."""
    started_at = "" if began is None else wire_micro_time(began)
    return ObservedRun(attempt, Running(4711, 99, started_at, not_before=wire_micro_time(moment)))


def exited(
    attempt: int = 1, reason: str = "Completed", exit_code: int | None = 0, *, began: bool = True
) -> ObservedRun:
    """A run that ended and said how."""
    text = "exited with code 0" if exit_code == 0 else f"exited with code {exit_code}"
    moment = "2026-01-02T03:04:05.000000000Z"
    record = ExitRecord(f"{UID}-{attempt}", reason, text, exit_code, None, moment if began else "", moment)
    return ObservedRun(attempt, Exited(record))


def lost(attempt: int = 1, not_before: datetime | None = None, began: datetime | None = None) -> ObservedRun:
    """A run whose supervisor was killed, perhaps while it was held until its moment."""
    held_until = "" if not_before is None else wire_micro_time(not_before)
    said = "" if began is None else wire_micro_time(began)
    started_at = said if held_until else "2026-01-02T03:04:00.000000000Z"
    return ObservedRun(attempt, Lost("its supervisor is gone", started_at, held_until))
