"""What a Job's status means for the command line: has it ended, why does it wait, which exit code.

Pure.
"""

from typing import Any

from api.cli.problems import CommandFailed
from api.client_watch import condition
from api.meta import Document

DEADLINE_EXIT, NEVER_RAN_EXIT = 124, 125
_PLAIN = frozenset({"", "Error", "Completed", "BackoffLimitExceeded"})


def is_finished(job: Document) -> bool:
    """Say whether the job has ended for good."""
    found = (condition(job, "Complete"), condition(job, "Failed"))
    return any(each is not None and each["status"] == "True" for each in found)


def runs_of(job: Document) -> list[Document]:
    """Return the job's runs, oldest first."""
    return list(job.get("status", {}).get("runs") or ())


def has_begun(run: Document) -> bool:
    """Say whether a run has a log that can be read."""
    return run.get("state") in ("Running", "Ended")


def pod_of(job: Document, run: Document) -> str:
    """Return the name of the pod that shows a run."""
    index = "" if run.get("index") is None else f"{run['index']}-"
    return f"{job['metadata']['name']}-{index}{run['attempt']}"


def has_many_runs(job: Document) -> bool:
    """Say whether a job may have several runs that go on, or several that succeed."""
    spec = job.get("spec", {})
    is_plain = spec.get("completions") in (None, 1) and spec.get("parallelism") in (None, 1)
    is_indexed = spec.get("completionMode") == "Indexed"
    return job.get("status", {}).get("ready") is not None or is_indexed or not is_plain


def last_of_each(runs: list[Document]) -> list[Document]:
    """Return the last run of each index, in their order; all of them where there are no indexes."""
    last = {run.get("index", -run["attempt"]): run for run in runs}
    return [run for _, run in sorted(last.items(), key=lambda each: abs(each[0]))]


def of_index(job: Document, index: int) -> list[Document]:
    """Return the runs of an index on record, oldest first. Raises CommandFailed: the job has no indexes."""
    check_indexed(job, index)
    return [run for run in runs_of(job) if run.get("index") == index]


def check_indexed(job: Document, index: int | None) -> None:
    """Refuse an index of a job whose runs have none. Raises CommandFailed."""
    if index is not None and job.get("spec", {}).get("completionMode") != "Indexed":
        name = job["metadata"]["name"]
        raise CommandFailed(f"job {name} is not indexed, so its runs have no index: leave --index out")


def exit_code(job: Document) -> int:
    """Return the exit code that an ended job gives to `rnx job run`."""
    complete = condition(job, "Complete")
    if complete is not None and complete["status"] == "True":
        return 0
    if _reasons(job) & {"DeadlineExceeded"}:
        return DEADLINE_EXIT
    ended = [run["exitCode"] for run in runs_of(job) if _tells(run) and run.get("exitCode") is not None]
    return int(ended[-1]) or 1 if ended else NEVER_RAN_EXIT


def _tells(run: Document) -> bool:
    """Say whether a run's end says something of its job's: not one that was stopped for the job's end."""
    return run.get("reason") not in ("JobEnded", "ScaledDown")


def was_stopped(job: Document) -> bool:
    """Say whether an ended job ended as somebody asked for its stop."""
    return exit_code(job) != 0 and bool({"Stopped", "Canceled"} & _reasons(job))


def why_failed(job: Document) -> str:
    """Return what to tell of a failed job beside its output; nothing if its exit code says it all."""
    complete = condition(job, "Complete")
    if complete is not None and complete["status"] == "True":
        return ""
    failed: Document = condition(job, "Failed") or {}
    last: Document = (runs_of(job) or [{}])[-1]
    if has_many_runs(job):
        return _joined(failed.get("reason") or "Failed", failed.get("message"))
    for said in (last, failed, job.get("status", {})):
        if said.get("reason", "") not in _PLAIN:
            return _joined(said["reason"], said.get("message"))
    return "" if last.get("exitCode") else _joined(failed.get("reason") or "Failed", failed.get("message"))


def waiting_for(job: Document) -> str:
    """Return why an unfinished job does not run, for a person; nothing if it runs."""
    status = job.get("status", {})
    phase = status.get("phase", "Pending")
    if phase == "Running" or not status:
        return ""
    return _joined(
        " ".join(filter(None, (phase, f"({status['reason']})" if status.get("reason") else ""))), status.get("message")
    )


def reason_of(job: Document) -> str:
    """Return why a job is in its phase, in a word or two: of one that is scheduled, when it starts."""
    reason = str(job.get("status", {}).get("reason", ""))
    start = job.get("spec", {}).get("startAt")
    return f"{reason} {start}" if reason == "Scheduled" and start else reason


def _reasons(job: Document) -> set[Any]:
    last: Document = (runs_of(job) or [{}])[-1]
    return {last.get("reason"), (condition(job, "Failed") or {}).get("reason"), job.get("status", {}).get("reason")}


def _joined(head: str, message: Any) -> str:
    return f"{head}: {message}" if message else head
