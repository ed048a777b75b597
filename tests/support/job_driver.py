"""The engine's loop over a host that is modelled: a job's passes by the pure plan and report, and what happens to it."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from controller.job.observed import ObservedJob
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import BeginRun, KillRun, RequestRuntime, StartRun, StopRun, TakeBackRun
from support.builders import a_job, observed_job
from support.steps import comes, ends, pretend

WAKING = (RequestRuntime, StopRun, TakeBackRun, KillRun)
"""Steps whose effect wakes us: a Runtime changes, or a run that we watch ends."""
MOST_PASSES = 120


class JobDriver:
    """Drives one job, and counts how often each of its runs was started."""

    def __init__(self, spec, **observed):
        self.spec = spec
        self.job = a_job(**spec)
        self.host: ObservedJob = observed_job(logs_present=True, **observed)
        self.starts: Counter[int] = Counter()
        self.instant: str | None = None  # How runs end before they are first seen running, if they do.

    def step_through(self, steps_before_crash=None):
        """One pass; cut short after some steps. What is done before the report of them, nobody has on record then."""
        decided, seen = plan(self.job, self.host), self.host
        most = MOST_PASSES if steps_before_crash is None else steps_before_crash
        for step in decided.steps[:most]:
            self._do(step)
        if most < len(decided.steps) or (steps_before_crash == len(decided.steps) and not decided.then):
            return decided
        status = report(self.job, seen if decided.then else self.host, decided, work_bytes=1)
        self.job = self.job.model_copy(update={"status": status})
        self.reported()
        for step in decided.then[: most - len(decided.steps)]:
            self._do(step)
        return decided

    def settle(self):
        """One wake-up: pass after pass for as long as the plan asks for another at once, and nobody wakes us again."""
        for _ in range(MOST_PASSES):
            decided = self.step_through()
            if not decided.again and not any(isinstance(step, WAKING) for step in (*decided.steps, *decided.then)):
                return
        raise AssertionError(f"it does not settle: {plan(self.job, self.host)}")

    def steps_left(self):
        """What the plan would do now, but for the last step of a deletion."""
        decided = plan(self.job, self.host)
        return [step for step in (*decided.steps, *decided.then) if type(step).__name__ != "DeleteJob"]

    def _do(self, step):
        was = self.host
        self.host = pretend(self.host, step)
        if isinstance(step, BeginRun):
            self.check_begun(step)
        if isinstance(step, StartRun) and self.host != was:
            self.starts[step.attempt] += 1
            if self.instant:
                self.end(step.attempt, self.instant)

    def check_begun(self, step):
        """Called for each run that is begun."""

    def reported(self):
        """Called after each report."""

    def happen(self, what, arg):
        """Have it happen."""
        match what:
            case "crash":
                self.step_through(arg)
            case "instant":
                self.instant = arg
            case "wait":
                self.host = comes(self.host, self.host.now + timedelta(seconds=arg))
            case "delete":
                meta = self.job.meta.model_copy(update={"deletion_timestamp": "2026-01-02T03:04:05Z"})
                self.job = self.job.model_copy(update={"metadata": meta})
            case _:
                raise AssertionError(f"nobody knows how {what} happens")

    def end(self, attempt, reason):
        """Have a run end, if it runs."""
        others = tuple(run for run in self.host.runs if run.attempt != attempt)
        mine = replace(self.host, runs=tuple(run for run in self.host.runs if run.attempt == attempt))
        ended = ends(mine, reason, 0 if reason == "Completed" else 1).runs
        self.host = replace(self.host, runs=tuple(sorted([*others, *ended], key=lambda run: run.attempt)))

    def edit(self, spec):
        """Have somebody give it another spec."""
        self.spec = spec
        meta = self.job.meta.model_copy(update={"generation": self.job.meta.generation + 1})
        self.job = self.job.model_copy(update={"spec": a_job(**spec).spec, "metadata": meta})
