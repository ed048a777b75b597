"""Telling the world how jobs go: events and counters, read off the journal, aside from reconciling.

An outcome is in the store once, so it is told once. What is news is decided by a pure function.
"""

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram

from api.kinds import JOB, POD
from api.meta import Document, ObjectKey, read_rfc3339, read_time
from api.ports import Change
from api.types.job import Job, Reason, RunState
from api.types.pod import pod_name, pod_uid
from controller.engine.events import Also, EventType
from controller.engine.recorder import Recorder
from controller.job import history
from controller.job.package_cache import PRIVATE
from controller.job.steps import StopRun

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class RunOutcome(StrEnum):
    """How a run ended, as it is counted."""

    COMPLETED = Reason.COMPLETED.value
    ERROR = Reason.ERROR.value
    OOM_KILLED = Reason.OOM_KILLED.value
    DEADLINE_EXCEEDED = Reason.DEADLINE_EXCEEDED.value
    STOPPED = Reason.STOPPED.value
    SUPERSEDED = Reason.SUPERSEDED.value
    SANDBOX_FAILED = Reason.SANDBOX_FAILED.value
    CANNOT_RUN = Reason.CANNOT_RUN.value
    RUN_LOST = Reason.RUN_LOST.value
    PREEMPTED = Reason.PREEMPTED.value
    JOB_ENDED = Reason.JOB_ENDED.value
    SCALED_DOWN = Reason.SCALED_DOWN.value
    POLICY_FORBIDS = Reason.POLICY_FORBIDS.value
    RESCHEDULED = Reason.RESCHEDULED.value


class JobOutcome(StrEnum):
    """How a job ended, as it is counted."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


_AS_WANTED = frozenset((Reason.COMPLETED.value, Reason.STOPPED.value, Reason.CANCELED.value, Reason.SUPERSEDED.value))
_AS_WANTED |= {Reason.RESCHEDULED.value, Reason.JOB_ENDED.value, Reason.SCALED_DOWN.value}
_RUN_OUTCOMES = frozenset(outcome.value for outcome in RunOutcome)
_JOB_OUTCOMES = frozenset(outcome.value for outcome in JobOutcome)


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened to a job, as an event says it; with the run, if it happened to one."""

    type: str
    reason: str
    message: str
    run: Document | None = None


class JobMetrics:
    """Counters and histograms of jobs and runs; every series starts at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`."""
        self.runs = Counter("runwright_runs", "Runs that ended, by outcome.", ["outcome"], registry=registry)
        self.jobs = Counter("runwright_jobs_finished", "Jobs that ended, by outcome.", ["outcome"], registry=registry)
        self.launch_seconds = Histogram(
            "runwright_run_launch_seconds",
            "From asking the launcher to the run being claimed.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.start_seconds = Histogram(
            "runwright_job_start_seconds",
            "From the job's creation to its first run.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.lateness_seconds = Histogram(
            "runwright_job_start_lateness_seconds",
            "From spec.startAt to the job's first run, of jobs that were scheduled.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.end_to_end_seconds = Histogram(
            "runwright_job_end_to_end_seconds",
            "From the job's creation to its completion.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.queue_seconds = Histogram(
            "runwright_job_queue_seconds",
            "From wanting to begin a run to its turn, by priority class.",
            ["priority_class"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.queue_seconds.labels("")
        for run_outcome in RunOutcome:
            self.runs.labels(run_outcome.value)
        for job_outcome in JobOutcome:
            self.jobs.labels(job_outcome.value)

    def waited(self, class_name: str, seconds: float) -> None:
        """Count one that had its turn after so many seconds."""
        self.queue_seconds.labels(class_name).observe(seconds)


class Announcer:
    """An informer's view of jobs that records events and counts outcomes; it enqueues nothing."""

    def __init__(self, recorder: Recorder, metrics: JobMetrics) -> None:
        """Say it with `recorder` and count it in `metrics`."""
        self._recorder = recorder
        self._metrics = metrics

    def keys(self, change: Change) -> tuple[ObjectKey, ...]:
        """Tell what is new in one change; no key is due because of it."""
        if change.previous is not None and change.key.kind == JOB.name:
            for item in news(change.previous, change.document):
                metadata, run = change.document["metadata"], item.run
                pod = None if run is None else _pod(metadata["name"], metadata["uid"], run["attempt"], run.get("index"))
                self._recorder.record(change.document, item.type, item.reason, item.message, pod)
            self._count(change.previous, change.document)
        return ()

    def stopping(self, job: Job, step: StopRun) -> None:
        """Tell that a run is told to end: what is done to it is nowhere in its job."""
        index = history.index_of(job, step.attempt)
        pod = _pod(job.meta.name, job.meta.uid, step.attempt, index)
        said = f"{history.titled(step.attempt, index)}: it is told to end, and killed after {step.grace_seconds:g} s"
        self._recorder.record(job, EventType.NORMAL, "Killing", f"{said}: {step.reason}", pod)

    def _count(self, before: Document, after: Document) -> None:
        for run in _newly(before, after, RunState.ENDED):
            reason = run.get("reason", "")
            self._metrics.runs.labels(reason if reason in _RUN_OUTCOMES else RunOutcome.ERROR.value).inc()
        if started := _first_start(before, after):
            self._metrics.start_seconds.observe(_seconds_since_creation(after, started))
            if _was_scheduled(after):
                late = read_time(started) - read_rfc3339(after["spec"]["startAt"])
                self._metrics.lateness_seconds.observe(max(0.0, late.total_seconds()))
        phases = before.get("status", {}).get("phase"), after.get("status", {}).get("phase")
        if phases[0] != phases[1] and phases[1] in _JOB_OUTCOMES:
            self._metrics.jobs.labels(phases[1]).inc()
            finished = after["status"].get("completionTime")
            if finished:
                self._metrics.end_to_end_seconds.observe(_seconds_since_creation(after, finished))


def news(before: Document, after: Document) -> list[News]:
    """Return what an event should say about the change from `before` to `after`. Pure."""
    started = _newly_started(before, after)
    found = [
        News(
            "Normal",
            "Started",
            f"{_titled(run)} started" + (f" in {run['runtime']}" if run.get("runtime") else ""),
            run,
        )
        for run in started
    ]
    found += [
        News("Warning", "CacheIsPrivate", f"{_titled(run)}: {run['packageCache'].removeprefix(PRIVATE)}", run)
        for run in started
        if run.get("packageCache", "").startswith(PRIVATE)
    ]
    for run in _newly(before, after, RunState.ENDED):
        well = run.get("reason") in _AS_WANTED
        found.append(
            News(
                "Normal" if well else "Warning",
                run.get("reason", ""),
                f"{_titled(run)}: {run.get('message') or 'the command succeeded'}",
                run,
            )
        )
    found += _refused(before.get("status", {}), after.get("status", {}))
    status, was = after.get("status", {}), before.get("status", {})
    changed = (status.get("reason"), status.get("phase")) != (was.get("reason"), was.get("phase"))
    waits = status.get("phase") in ("Pending", "Suspended") and status.get("reason") not in (
        None,
        "",
        Reason.PENDING.value,
    )
    if changed and waits:
        found.append(News("Normal", status["reason"], status.get("message", ""), _waiting(after)))
    if changed and status.get("phase") == "Failed":
        type_ = "Normal" if status.get("reason") in _AS_WANTED else "Warning"
        found.append(News(type_, "JobFailed", f"{status.get('reason', '')}: {status.get('message', '')}"))
    return found


def _waiting(job: Document) -> Document | None:
    """Return the run that its job waits with, if there is one and no other."""
    active = [run for run in job["status"].get("runs", ()) if run["state"] != RunState.ENDED.value]
    return active[0] if len(active) == 1 and active[0]["state"] == RunState.PENDING.value else None


def _pod(job_name: str, job_uid: str, attempt: int, index: int | None) -> Also:
    return Also(POD.api_version, POD.name, pod_name(job_name, attempt, index), pod_uid(job_uid, attempt))


def _titled(run: Document) -> str:
    return history.titled(run["attempt"], run.get("index"))


def _refused(before: Document, after: Document) -> list[News]:
    """Say the first time, and of what: how often it was, and of what else, is in the status."""
    if before.get("refused") or not after.get("refused"):
        return []
    last = after["refusals"][-1]
    to = f"{last['destination']} port {last['port']}" if last.get("port") else last["destination"]
    said = f"{last['protocol']} from {last['source']} to {to}: no rule allows it"
    return [News("Warning", "ConnectionRefused", said)]


def _newly(before: Document, after: Document, state: RunState) -> list[Document]:
    """Runs of `after` that are in `state` and were not so before."""
    known = {run["attempt"]: run["state"] for run in before.get("status", {}).get("runs", ())}
    runs = after.get("status", {}).get("runs", ())
    return [run for run in runs if run["state"] == state.value and known.get(run["attempt"]) != state.value]


def _newly_started(before: Document, after: Document) -> list[Document]:
    """Runs whose command has started, also those that were over before anybody saw them run."""
    running = [
        run["attempt"] for run in before.get("status", {}).get("runs", ()) if run["state"] == RunState.RUNNING.value
    ]
    over = [run for run in _newly(before, after, RunState.ENDED) if run.get("startedAt")]
    return _newly(before, after, RunState.RUNNING) + [run for run in over if run["attempt"] not in running]


def _first_start(before: Document, after: Document) -> str | None:
    if before.get("status", {}).get("startTime"):
        return None
    started: str | None = after.get("status", {}).get("startTime")
    return started


def _was_scheduled(job: Document) -> bool:
    said = job.get("status", {}).get("conditions", ())
    return bool(job["spec"].get("startAt")) and any(condition["type"] == "Scheduled" for condition in said)


def _seconds_since_creation(job: Document, moment: str) -> float:
    return max(0.0, (read_time(moment) - read_time(job["metadata"]["creationTimestamp"])).total_seconds())
