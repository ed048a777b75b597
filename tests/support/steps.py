"""`pretend(observed, step)`: what the host looks like after a step of a job's plan.

A model, kept honest by tests/e2e/test_pretend_is_true.py, which does each real step and compares.
"""

from dataclasses import replace
from typing import Any

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
        case StartRun(attempt):
            found = observed.run(attempt)
            if found is None or isinstance(found.record, Unclaimed):
                return _with(observed, ObservedRun(attempt, Running(4711, 99, _MOMENT)))
        case AbandonRun(attempt, reason, message):
            found = observed.run(attempt)
            if found is None or isinstance(found.record, Unclaimed):
                return _with(observed, _exited(attempt, reason, message))
        case StopRun(attempt, reason) if _is_running(observed, attempt):
            return _with(observed, _exited(attempt, reason, "was stopped"))
        case KillRun(attempt) if _is_running(observed, attempt):
            return _with(observed, ObservedRun(attempt, Lost("its supervisor is gone", _MOMENT)))
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


def ends(observed: ObservedJob, reason: str, exit_code: int | None) -> ObservedJob:
    """The host after every running run ended by itself."""
    for run in observed.runs:
        if isinstance(run.record, Running):
            observed = _with(observed, _exited(run.attempt, reason, "it ended", exit_code))
    return observed


def _is_running(observed: ObservedJob, attempt: int) -> bool:
    found = observed.run(attempt)
    return found is not None and isinstance(found.record, Running)


def _exited(attempt: int, reason: str, message: str, exit_code: int | None = None) -> ObservedRun:
    return ObservedRun(
        attempt, Exited(ExitRecord(f"uid-{attempt}", reason, message, exit_code, None, _MOMENT, _MOMENT))
    )


def _with(observed: ObservedJob, run: ObservedRun) -> ObservedJob:
    others = [other for other in observed.runs if other.attempt != run.attempt]
    return replace(observed, runs=tuple(sorted([*others, run], key=lambda one: one.attempt)))
