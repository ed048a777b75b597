"""A job driven through random endings, edits, suspensions and crashes, against the pure plan and report."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import read_time, wire_time
from api.types.job import Job, RunState
from controller.job.observed import ObservedJob, RuntimeMissing
from controller.job.steps import KillRun
from controller.launcher.records import Running
from support.builders import NOW
from support.job_driver import JobDriver
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
        st.tuples(st.just("early"), st.integers(0, 700)),
    ),
    max_size=8,
)
MISSING = RuntimeMissing("RuntimeNotReady", "not installed", ("python-3.11", "latest"))


class Driver(JobDriver):
    """A job of one run at a time, whose runtime is missing at first."""

    def __init__(self, spec):
        super().__init__(spec, runtime=MISSING)

    def check_begun(self, step):
        assert self.is_due() or self.host.may_be_early

    def is_due(self):
        return self.job.spec.start_at is None or read_time(self.job.spec.start_at) <= self.host.now

    def executed(self):
        """Runs whose command is executed; those that are held until their moment are not."""
        return {each.attempt for each in self.host.runs if isinstance(each.record, Running) and not each.record.is_held}

    def _do(self, step):
        before = self.executed()
        super()._do(step)
        assert self.executed() <= before or self.is_due()

    def happen(self, what, arg):
        match what:
            case "wait":
                before = self.executed()
                super().happen(what, arg)
                assert self.executed() <= before or self.is_due()
            case "early":
                self.host = replace(self.host, ready_from=self.host.now + timedelta(seconds=arg - 350))
            case "kill":
                for run in self.host.runs:
                    self.host = pretend(self.host, KillRun(run.attempt))
            case "end":
                self.host = ends(self.host, arg, 0 if arg == "Completed" else 1)
            case "edit":
                self.edit(arg)
            case _:
                super().happen(what, arg)


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

    assert not driver.steps_left()


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


STARTS = st.sampled_from([wire_time(NOW + timedelta(seconds=seconds)) for seconds in (60, 90, 120)])
SCHEDULED = st.fixed_dictionaries(
    {"startAt": STARTS, "backoffSeconds": st.just(10)}, optional={"suspend": st.booleans()}
)
BEFORE = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), SCHEDULED),
        st.tuples(st.just("wait"), st.integers(1, 50)),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("kill"), st.none()),
        st.tuples(st.just("delete"), st.none()),
    ),
    max_size=8,
)


@pytest.mark.invariant("T1")
@settings(max_examples=200, deadline=None)
@given(SCHEDULED, BEFORE)
def test_a_run_that_is_made_ready_early_is_executed_when_its_job_is_to_start(spec, events):
    driver = Driver(spec)
    driver.happen("early", 0)
    driver.settle()
    for what, arg in events:
        driver.happen(what, arg)
        driver.settle()
        _check(driver.job, driver.host, driver.starts)
    for _ in range(5):
        driver.happen("wait", 60)
        driver.settle()

    is_wanted = not (driver.job.meta.is_deleting or driver.job.spec.suspend)
    goes_on = [each for each in driver.host.runs if each.attempt in driver.executed() and not each.frozen]
    assert bool(goes_on) == is_wanted
