"""A job driven through random endings, edits, suspensions and crashes, against the pure plan and report."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import read_time, wire_time
from api.types.job import Job, RunState
from controller.job.observed import ObservedJob, RuntimeMissing
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import BeginRun, KillRun, RequestRuntime, StartRun, StopRun
from controller.launcher.records import Running
from support.builders import NOW, a_job, observed_job
from support.steps import ends, pretend

SPECS = st.fixed_dictionaries(
    {"backoffLimit": st.integers(0, 3), "backoffSeconds": st.just(10)},
    optional={
        "suspend": st.booleans(),
        "activeDeadlineSeconds": st.integers(1, 300),
        "command": st.sampled_from([["true"], ["false"]]),
        "runtime": st.just("python-3.11"),
        "startAt": st.sampled_from([wire_time(NOW + timedelta(seconds=seconds)) for seconds in (-9, 90, 700)]),
    },
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("end"), st.sampled_from(["Completed", "Error", "OOMKilled"])),
        st.tuples(st.just("edit"), SPECS),
        st.tuples(st.just("wait"), st.integers(1, 400)),
        st.tuples(st.just("instant"), st.sampled_from([None, "Completed", "Error"])),
        st.tuples(st.just("delete"), st.none()),
    ),
    max_size=8,
)
WAKING = (RequestRuntime, StopRun, KillRun)
"""Steps whose effect wakes us: a Runtime changes, or a run that we watch ends."""
MISSING = RuntimeMissing("RuntimeNotReady", "not installed", ("python-3.11", "latest"))


class Driver:
    """The engine's loop over the model host, and a count of how often each run was started."""

    def __init__(self, spec):
        self.job = a_job(**spec)
        self.host = observed_job(runtime=MISSING, logs_present=True)
        self.starts: dict[int, int] = {}
        self.instant: str | None = None  # How runs end before they are first seen running, if they do.

    def step_through(self, steps_before_crash=None):
        """One pass; cut short after some steps, nothing is reported."""
        decided = plan(self.job, self.host)
        for number, step in enumerate(decided.steps):
            if steps_before_crash is not None and number >= steps_before_crash:
                return decided
            self._do(step)
        if steps_before_crash is None:
            self._report(decided)
        return decided

    def settle(self):
        """One wake-up: pass after pass for as long as the plan asks for another at once, and nobody wakes us again."""
        for _ in range(60):
            decided = self.step_through()
            if not decided.again and not any(isinstance(step, WAKING) for step in decided.steps):
                return
        raise AssertionError(f"it does not settle: {plan(self.job, self.host)}")

    def _do(self, step):
        was = self.host
        self.host = pretend(self.host, step)
        if isinstance(step, BeginRun):
            assert self.job.spec.start_at is None or read_time(self.job.spec.start_at) <= self.host.now
        if isinstance(step, StartRun) and self.host != was:
            self.starts[step.attempt] = self.starts.get(step.attempt, 0) + 1
            if self.instant:
                self.host = ends(self.host, self.instant, 0 if self.instant == "Completed" else 1)

    def _report(self, decided):
        status = report(self.job, self.host, decided, work_bytes=1)
        self.job = self.job.model_copy(update={"status": status})

    def happen(self, what, arg):
        match what:
            case "crash":
                self.step_through(arg)
            case "instant":
                self.instant = arg
            case "end":
                self.host = ends(self.host, arg, 0 if arg == "Completed" else 1)
            case "edit":
                meta = self.job.meta.model_copy(update={"generation": self.job.meta.generation + 1})
                self.job = self.job.model_copy(update={"spec": a_job(**arg).spec, "metadata": meta})
            case "wait":
                self.host = replace(self.host, now=self.host.now + timedelta(seconds=arg))
            case "delete":
                meta = self.job.meta.model_copy(update={"deletion_timestamp": "2026-01-02T03:04:05Z"})
                self.job = self.job.model_copy(update={"metadata": meta})


@pytest.mark.invariant("T1")
@pytest.mark.invariant("R2")
@settings(max_examples=150, deadline=None)
@given(SPECS, EVENTS)
def test_a_job_settles_whatever_happens_and_no_run_starts_twice(spec, events):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
        driver.settle()
        _check(driver.job, driver.host, driver.starts)


@pytest.mark.invariant("R1")
@settings(max_examples=100, deadline=None)
@given(SPECS, EVENTS)
def test_a_settled_job_has_an_empty_plan(spec, events):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
    driver.settle()

    assert not [step for step in plan(driver.job, driver.host).steps if type(step).__name__ != "DeleteJob"]


@settings(max_examples=100, deadline=None)
@given(SPECS, EVENTS)
def test_a_job_that_is_left_alone_ends_or_waits_for_a_reason(spec, events):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
        driver.settle()
    for _ in range(10):
        driver.happen("end", "Error")
        driver.settle()
        driver.happen("wait", 400)
        driver.settle()

    status = driver.job.status
    assert driver.job.meta.is_deleting or driver.job.spec.suspend or status.phase in ("Succeeded", "Failed")


def _check(job: Job, host: ObservedJob, starts: dict[int, int]) -> None:
    assert all(count == 1 for count in starts.values()), starts
    assert sum(isinstance(run.record, Running) for run in host.runs) <= 1
    attempts = [run.attempt for run in job.status.runs]
    assert attempts == sorted(set(attempts))
    assert sum(run.state is RunState.RUNNING for run in job.status.runs) == job.status.active
    if job.meta.is_deleting:
        assert host.runs == ()
    assert host.now >= NOW
