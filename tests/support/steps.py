"""`pretend(observed, step)`: what the host looks like after a step of a job's plan.

A model, kept honest by tests/e2e/test_pretend_is_true.py, which does each real step and compares.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from api.meta import read_time, wire_micro_time
from api.types.job import RunVolume
from api.types.job_network import RunNetwork
from controller.job.observed import NetworkGiven, ObservedJob, ObservedRun, RuntimeReady
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveArtifacts,
    RemoveLogs,
    RemoveRun,
    RequestNetwork,
    RequestRuntime,
    RequestVolume,
    SetDeadline,
    StartRun,
    StopRun,
    TakeBackRun,
    ThawRun,
)
from controller.job.volumes import VolumesReady
from controller.launcher.records import Exited, ExitRecord, Lost, Running, Unclaimed

_MOMENT = "2026-01-02T03:04:05.000000000Z"


def pretend(observed: ObservedJob, step: Any) -> ObservedJob:
    """Return the host after `step`."""
    match step:
        case RequestRuntime(name, version):
            return replace(observed, runtime=RuntimeReady(name, "1.0.0" if version == "latest" else version))
        case RequestVolume(name):
            return replace(observed, volumes=VolumesReady((RunVolume(name=name, uid="made"),)))
        case RequestNetwork(name):
            given = RunNetwork(name=name, address="10.213.0.2", names=("etl",))
            return replace(observed, network=NetworkGiven(given))
        case BeginRun(attempt) if observed.run(attempt) is None:
            return _with(observed, ObservedRun(attempt, Unclaimed()))
        case StartRun(attempt, _, not_before):
            found = observed.run(attempt)
            if found is None or isinstance(found.record, Unclaimed):
                is_held = not_before is not None and not_before > observed.now
                began, moment = ("", wire_micro_time(not_before)) if is_held else (_MOMENT, "")
                return _with(observed, ObservedRun(attempt, Running(4711, 99, began, not_before=moment)))
        case AbandonRun(attempt, reason, message):
            found = observed.run(attempt)
            if found is None or isinstance(found.record, Unclaimed):
                return _with(observed, _exited(attempt, reason, message))
        case StopRun(attempt, reason) if _is_running(observed, attempt):
            return _with(
                observed, _exited(attempt, reason, "was stopped", began=observed.run(attempt).record.started_at)
            )
        case TakeBackRun(attempt) if _is_running(observed, attempt) and observed.run(attempt).record.is_held:
            return _with(observed, _exited(attempt, "Rescheduled", "was taken back", began=""))
        case KillRun(attempt) if _is_running(observed, attempt):
            held = observed.run(attempt).record
            return _with(
                observed, ObservedRun(attempt, Lost("its supervisor is gone", held.started_at, held.not_before))
            )
        case FreezeRun(attempt) if _is_running(observed, attempt):
            return _with(observed, replace(observed.run(attempt), frozen=True, may_be_frozen=True))
        case ThawRun(attempt) if _is_running(observed, attempt):
            return _with(observed, replace(observed.run(attempt), frozen=False, may_be_frozen=False))
        case RemoveRun(attempt):
            return replace(observed, runs=tuple(run for run in observed.runs if run.attempt != attempt))
        case RemoveArtifacts():
            return replace(observed, artifacts_present=False)
        case RemoveLogs():
            return replace(observed, logs_present=False)
        case SetDeadline() | DeleteJob():
            return observed
    return observed


def comes(observed: ObservedJob, now: datetime) -> ObservedJob:
    """The host when it is `now`: runs that were held until a moment that has come have begun by themselves."""
    for run in observed.runs:
        if isinstance(run.record, Running) and run.record.is_held and read_time(run.record.not_before) <= now:
            observed = _with(observed, replace(run, record=replace(run.record, started_at=run.record.not_before)))
    return replace(observed, now=now)


def ends(observed: ObservedJob, reason: str, exit_code: int | None) -> ObservedJob:
    """The host after every running run ended by itself."""
    for run in observed.runs:
        if isinstance(run.record, Running) and not run.record.is_held:
            observed = _with(observed, _exited(run.attempt, reason, "it ended", exit_code))
    return observed


def _is_running(observed: ObservedJob, attempt: int) -> bool:
    found = observed.run(attempt)
    return found is not None and isinstance(found.record, Running)


def _exited(attempt: int, reason: str, message: str, exit_code: int | None = None, began: str = _MOMENT) -> ObservedRun:
    return ObservedRun(attempt, Exited(ExitRecord(f"uid-{attempt}", reason, message, exit_code, None, began, _MOMENT)))


def _with(observed: ObservedJob, run: ObservedRun) -> ObservedJob:
    others = [other for other in observed.runs if other.attempt != run.attempt]
    return replace(observed, runs=tuple(sorted([*others, run], key=lambda one: one.attempt)))
