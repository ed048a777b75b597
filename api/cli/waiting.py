"""A job that does not run yet: what is told of that and when, what to do about it, and how long it is borne.

Pure: it is given the time, by the monotonic clock. Invariant: each reason is told once, and none that passes at once.
"""

from dataclasses import dataclass

from api import runtime_spec
from api.cli import finished, runtimes
from api.meta import Document

QUIET_SECONDS = 3.0
"""How long a job may wait before anybody is told: an install that is over by then is no news."""

_SOON_OVER = (None, "", "Pending", "Running")
_NEVER_HERE = frozenset({
    "LimitUnenforceable", "Unschedulable", "DevicesInsufficient", "DevicesNotFound", "PolicyForbids",
    "VolumeModeForbidden", "RequirementsNotMet", "RuntimeNotFound", "RuntimesDisabled", "DependencyCycle",
})  # fmt: skip
"""What does not pass by itself: somebody has to change the job, the host or its settings."""
_OF_RUNTIMES = frozenset({"RuntimeNotReady", "RuntimeNotFound", "RuntimeBroken"})
_HINTS = {
    "BuildFailed": "rnx runtime logs {name} shows what the build said",
    "Unhealthy": "rnx runtime test {name} shows what does not work",
    "RegistryUnavailable": "rnx get registries shows which of them answer",
    "RuntimeNotFound": "rnx runtime list --registry shows what there is",
    "PlatformUnsupported": "rnx runtime list --registry shows what there is",
    "Ambiguous": "rnx runtime install {name} --registry=NAME says which one is meant",
}
_JOB_HINTS = {
    "RequirementsNotMet": "give it more with --max-memory",
    "LimitUnenforceable": "rnx explain job/{job} says more",
    "InvalidRun": "rnx explain job/{job} says more",
    "WaitingForJobs": "rnx explain job/{job} says how far each of them is",
    "HostBusy": "it starts when another one has ended",
    "InsufficientCPU": "it starts when enough others have ended; rnx explain job/{job} tells its place",
    "InsufficientMemory": "it starts when enough others have ended; rnx explain job/{job} tells its place",
    "Queued": "it starts when it is its turn; rnx explain job/{job} tells its place",
    "Unschedulable": "rnx describe node shows what there is",
}


@dataclass(slots=True)
class Wait:
    """The wait for a job to run, from `since` on; for its first run `limit_seconds` at most, None for ever."""

    since: float
    limit_seconds: float | None = None
    told: str = ""
    has_given_up: bool = False

    def is_news(self, job: Document, now: float, *, all_of_it: bool) -> str:
        """Return why the job does not run if that is to be told now, and take it for told; else nothing.

        `all_of_it` tells at once, and also what a person need not know of.
        """
        why = "" if finished.is_finished(job) else finished.waiting_for(job)
        if not why:
            self.told = ""
        is_grave = job.get("status", {}).get("reason") not in _SOON_OVER
        if why in ("", self.told) or not (all_of_it or (is_grave and now >= self.since + QUIET_SECONDS)):
            return ""
        self.told = why
        return why

    def is_over(self, job: Document, now: float) -> bool:
        """Say whether the job should have run by now, and never did."""
        return self._is_limited(job) and now >= self.since + (self.limit_seconds or 0)

    def is_in_vain(self, job: Document, now: float) -> bool:
        """Say whether the job never ran, and cannot on this host as it is; not if it is said how long to wait."""
        if self.has_given_up or self.limit_seconds is not None or finished.is_finished(job):
            return False
        is_stuck = job.get("status", {}).get("reason") in _NEVER_HERE and now >= self.since + QUIET_SECONDS
        return is_stuck and not any(map(finished.has_begun, finished.runs_of(job)))

    def seconds_to(self, job: Document | None, now: float) -> float | None:
        """Return in how long there may be something to tell or to end though nothing was heard; None for never."""
        if job is None:
            return None
        times = [self.since + QUIET_SECONDS] if now < self.since + QUIET_SECONDS else []
        times += [self.since + (self.limit_seconds or 0)] if self._is_limited(job) else []
        return max(0.0, min(times) - now) if times else None

    def _is_limited(self, job: Document) -> bool:
        return self.limit_seconds is not None and not any(map(finished.has_begun, finished.runs_of(job)))


def runtime_of(job: Document) -> str:
    """Return the name of the Runtime that a job waits for; empty if it waits for none, or for any of a language."""
    said = job.get("spec", {}).get("runtime")
    if not said or job.get("status", {}).get("reason") not in _OF_RUNTIMES:
        return ""
    return runtime_spec.parse(said).name or ""


def what_to_do(job: Document, runtime: Document | None) -> str:
    """Return what a person may do about a job that waits, whose Runtime, if it has one by now, is `runtime`."""
    reason = str(job.get("status", {}).get("reason", ""))
    if reason not in _OF_RUNTIMES:
        return _JOB_HINTS.get(reason, "").format(job=job["metadata"].get("name", ""))
    if runtime is None:
        return _HINTS["RuntimeNotFound"]
    name, wanted = runtime["metadata"]["name"], runtime_spec.parse(job["spec"]["runtime"]).wanted
    why = runtimes.reason_for(runtime, wanted)
    return _HINTS.get(why, "rnx describe runtime/{name} says more").format(name=name)
