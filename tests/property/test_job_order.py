"""Random jobs that run after each other, random ends, deletions and rings, against the pure plan and report."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import Document, ObjectKey
from api.types.job import Job, Reason, RunState
from controller.job import after
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import BeginRun
from controller.job.waiters import Waiters
from support.builders import NOW, a_job_document, a_run, observed_job

CONDITIONS = ("Complete", "Failed", "Finished")


@st.composite
def orders(draw, *, rings, conditions=CONDITIONS):
    """Up to six jobs, and what each waits for: those before it, or any at all."""
    names = [f"j{number}" for number in range(draw(st.integers(1, 6)))]
    found = {}
    for number, name in enumerate(names):
        others = names if rings else names[:number]
        after_ = draw(st.lists(st.sampled_from(others), unique=True, max_size=3)) if others else []
        found[name] = [{"job": other, "condition": draw(st.sampled_from(conditions))} for other in after_]
    return found


@dataclass
class World:
    """A store of jobs, each of which is looked at as its controller does."""

    jobs: dict[str, Document] = field(default_factory=dict)
    began_with: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self):
        self.waiters = Waiters(self.get)

    def add(self, name, wanted):
        document = a_job_document(name, after=wanted, backoffLimit=0)
        document["metadata"] |= {"uid": f"uid-{name}", "generation": 1, "resourceVersion": "1"}
        self.jobs[name] = document

    def get(self, key: ObjectKey):
        return self.jobs.get(key.name)

    def look(self, name):
        """One pass over a job: its first run begins if the plan says so."""
        document = self.jobs[name]
        job = Job.model_validate(document)
        if job.status.runs or job.status.phase == "Failed":
            return
        self.waiters.learn(document)
        others = {each.job: self.get(ObjectKey("Job", "default", each.job)) for each in job.spec.after}
        observed = observed_job(after=after.settle(job, others, self.waiters.cycle(job.key), NOW))
        decided = plan(job, observed)
        status = report(job, observed, decided, work_bytes=None).to_document()
        if decided.steps == (BeginRun(1),):
            ended = {other: found and after.outcome(found) for other, found in others.items()}
            self.began_with[name] = {other: how and how.value for other, how in ended.items()}
        self.jobs[name] = document | {"status": status}

    def end(self, name, reason):
        """The run of a job ends."""
        job = Job.model_validate(self.jobs[name])
        code = 0 if reason == "Completed" else 1
        run = a_run(
            state=RunState.ENDED, reason=reason, exit_code=code, message="it ended", finished_at="2026-01-02T03:04:05Z",
            template_hash=job.spec.template_hash(),
        )  # fmt: skip
        ended = job.model_copy(update={"status": job.status.model_copy(update={"runs": (run,), "failed": code})})
        observed = observed_job(after=ended.status.after)
        status = report(ended, observed, plan(ended, observed), work_bytes=None).to_document()
        self.jobs[name] = self.jobs[name] | {"status": status}

    @property
    def running(self):
        return sorted(n for n, j in self.jobs.items() if any(r["state"] != "Ended" for r in _runs(j)))

    @property
    def open(self):
        return sorted(
            n for n, j in self.jobs.items() if j.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        )

    def reason(self, name):
        return self.jobs[name]["status"]["reason"]


def _runs(job):
    return job.get("status", {}).get("runs", ())


def drive(order, data):
    """Look at all jobs in any order and let them end in any way, until nothing is open or nothing moves."""
    world = World()
    for name, wanted in order.items():
        world.add(name, wanted)
    for _ in range(len(order) + 4):
        for name in data.draw(st.permutations(sorted(world.jobs)), "look"):
            world.look(name)
        running = world.running
        if running:
            name = data.draw(st.sampled_from(running), "ends")
            world.end(name, data.draw(st.sampled_from(("Completed", "Error")), "how"))
    return world


@pytest.mark.invariant("O1")
@pytest.mark.invariant("O2")
@settings(max_examples=40, deadline=None)
@given(orders(rings=False), st.data())
def test_every_job_runs_when_its_others_ended_as_wanted_or_fails_for_one_that_did_not(order, data):
    world = drive(order, data)

    assert world.open == []
    ends = {name: after.outcome(job).value for name, job in world.jobs.items()}
    for name, wanted in order.items():
        could_run = all(each["condition"] in ("Finished", ends[each["job"]]) for each in wanted)
        assert (name in world.began_with) is could_run
        assert (world.reason(name) == Reason.DEPENDENCY_FAILED) is not could_run


@pytest.mark.invariant("O1")
@settings(max_examples=40, deadline=None)
@given(orders(rings=False), st.data())
def test_no_run_begins_while_one_of_its_others_has_not_ended(order, data):
    world = drive(order, data)

    for name, known in world.began_with.items():
        assert all(each["condition"] in ("Finished", known[each["job"]]) for each in order[name])


@settings(max_examples=40, deadline=None)
@given(orders(rings=True), st.data())
def test_with_rings_too_no_job_waits_for_ever(order, data):
    assert drive(order, data).open == []


@pytest.mark.invariant("O2")
@settings(max_examples=40, deadline=None)
@given(orders(rings=True, conditions=("Finished",)), st.data())
def test_all_of_a_ring_fail_for_it_and_whoever_is_in_none_runs(order, data):
    world = drive(order, data)

    for name in order:
        began = name in world.began_with
        assert began or _reaches_itself(order, name)
        if began and _reaches_itself(order, name):  # Another ring of one that it waits for has decided that one.
            assert any(world.reason(each["job"]) == Reason.DEPENDENCY_CYCLE for each in order[name])
        assert (world.reason(name) == Reason.DEPENDENCY_CYCLE) is not began


def _reaches_itself(order, start):
    seen, going = set(), [start]
    for name in going:
        for each in order[name]:
            if each["job"] == start:
                return True
            if each["job"] not in seen:
                seen.add(each["job"])
                going.append(each["job"])
    return False
