"""Jobs of many runs driven through random endings, scalings, suspensions and crashes, against the pure plan and report."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.indexes import Indexes
from api.types.job import RunState
from controller.launcher.records import Running
from support.job_driver import JobDriver

INDEXED = st.fixed_dictionaries(
    {"completionMode": st.just("Indexed"), "completions": st.integers(0, 5), "parallelism": st.integers(0, 4)},
    optional={"backoffLimitPerIndex": st.integers(0, 2)},
)
COUNTED = st.fixed_dictionaries({"completions": st.integers(2, 5), "parallelism": st.integers(0, 4)})
ANY_ONE = st.fixed_dictionaries({"parallelism": st.sampled_from([0, 2, 3])})
OTHERS = st.fixed_dictionaries(
    {"backoffSeconds": st.just(10)},
    optional={
        "backoffLimit": st.integers(0, 4),
        "activeDeadlineSeconds": st.integers(60, 300),
        "suspend": st.booleans(),
        "command": st.sampled_from([["true"], ["false"]]),
    },
)
SPECS = st.builds(lambda many, others: many | others, st.one_of(INDEXED, COUNTED, ANY_ONE), OTHERS)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.integers(0, 4)),
        st.tuples(st.just("end"), st.tuples(st.integers(0, 3), st.sampled_from(["Completed", "Completed", "Error"]))),
        st.tuples(st.just("scale"), st.integers(0, 4)),
        st.tuples(st.just("elastic"), st.integers(0, 5)),
        st.tuples(st.just("change"), OTHERS),
        st.tuples(st.just("wait"), st.integers(1, 400)),
        st.tuples(st.just("instant"), st.sampled_from([None, "Completed", "Error"])),
        st.tuples(st.just("delete"), st.none()),
    ),
    max_size=10,
)


class Driver(JobDriver):
    """A job of many runs, and what has become of each index."""

    def __init__(self, spec):
        super().__init__(spec)
        self.succeeded: dict[str, set[int]] = {}  # Indexes that have, by template.

    def check_begun(self, step):
        active = [run for run in self.job.status.runs if run.state is not RunState.ENDED]
        assert len(active) < self.job.spec.most_active
        assert not self.job.spec.suspend
        if step.index is not None:
            assert step.index < self.job.spec.completions
            assert step.index not in {run.index for run in active}
            assert step.index not in self.succeeded.get(self.job.spec.template_hash(), set())

    def reported(self):
        status = self.job.status
        before = self.succeeded if set(self.succeeded) <= {status.template_hash} else {}
        self.succeeded = before  # Who changes a template back wants it run again.
        if status.completed_indexes:
            done = Indexes.parse(status.completed_indexes)
            self.succeeded[status.template_hash] = {index for index in range(6) if index in done}

    def happen(self, what, arg):
        match what:
            case "end":
                running = [run.attempt for run in self.host.runs if isinstance(run.record, Running)]
                if running:
                    self.end(running[arg[0] % len(running)], arg[1])
            case "scale":
                self.edit(self.spec | {"parallelism": arg})
            case "elastic":
                if self.spec.get("completionMode"):
                    self.edit(self.spec | {"completions": arg, "parallelism": arg})
            case "change":
                self.edit(self.spec | arg)
            case _:
                super().happen(what, arg)

    def check(self):
        status = self.job.status
        assert all(count == 1 for count in self.starts.values()), self.starts
        attempts = [run.attempt for run in status.runs]
        assert attempts == sorted(set(attempts))
        active = [run for run in status.runs if run.state is not RunState.ENDED]
        running = sum(run.state is RunState.RUNNING for run in active)
        if self.job.has_many_runs:
            assert (status.active, status.ready) == (len(active), running)
        indexes = [run.index for run in active if run.index is not None]
        assert len(indexes) == len(set(indexes))
        if status.completed_indexes is not None:
            assert len(Indexes.parse(status.completed_indexes)) == status.succeeded
        if status.phase in ("Succeeded", "Failed"):
            assert not active
        if self.job.meta.is_deleting:
            assert self.host.runs == ()


@pytest.mark.invariant("J30")
@settings(max_examples=200, deadline=None)
@given(SPECS, EVENTS)
def test_a_job_of_many_runs_settles_and_runs_no_index_twice_at_a_time_or_again(spec, events):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
        driver.settle()
        driver.check()


@settings(max_examples=100, deadline=None)
@given(SPECS, EVENTS)
def test_a_settled_job_of_many_runs_has_an_empty_plan(spec, events):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
    driver.settle()

    assert not driver.steps_left()


@settings(max_examples=100, deadline=None)
@given(SPECS, EVENTS, st.sampled_from(["Completed", "Error"]))
def test_a_job_of_many_runs_that_is_left_alone_ends_or_waits_for_a_reason(spec, events, how):
    driver = Driver(spec)
    for what, arg in events:
        driver.happen(what, arg)
        driver.settle()
    for _ in range(40):
        for _ in range(4):
            driver.happen("end", (0, how))
        driver.settle()
        driver.happen("wait", 400)
        driver.settle()

    job = driver.job
    held = job.meta.is_deleting or job.spec.suspend or job.spec.parallelism == 0
    assert held or job.status.phase in ("Succeeded", "Failed")
