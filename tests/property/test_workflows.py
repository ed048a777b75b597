"""Random workflows, random ends of their jobs, random crashes and deletions, against the pure plan and report."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.types.job_after import AfterCondition
from api.types.workflow import ENDED, Workflow
from api.workflows import expressions
from api.workflows.expressions import Is, Outcome
from controller.workflow.observed import Child, ObservedWorkflow
from controller.workflow.plan import MakeJobs, plan
from controller.workflow.report import report
from support.builders import NOW
from support.workflows import a_workflow_document

CONDITIONS = ("Complete", "Failed", "Skipped", "Finished")


@st.composite
def expressions_about(draw, names):
    """An expression about some of these jobs, as text."""
    atoms = st.tuples(st.sampled_from(names), st.sampled_from(("COMPLETED", "FAILED", "SKIPPED", "FINISHED"))).map(
        lambda pair: f"{pair[0]}={pair[1]}"
    )
    return draw(
        st.recursive(
            atoms,
            lambda inner: st.one_of(
                st.tuples(inner, st.sampled_from(("AND", "OR")), inner).map(lambda parts: f"({' '.join(parts)})"),
                inner.map(lambda text: f"NOT ({text})"),
            ),
            max_leaves=4,
        )
    )


@st.composite
def workflows(draw):
    """A workflow of up to six jobs, each of which requires something of those before it."""
    jobs = {}
    for number in range(draw(st.integers(1, 6))):
        before = list(jobs)
        job = {}
        if before:
            others = draw(st.lists(st.sampled_from(before), unique=True, max_size=3))
            job["requires"] = [{"job": other, "condition": draw(st.sampled_from(CONDITIONS))} for other in others]
            if draw(st.booleans()):
                job["expression"] = draw(expressions_about(before))
        jobs[f"j{number}"] = job
    names = draw(st.permutations(list(jobs)))
    return a_workflow_document(**{name: jobs[name] for name in names})


@dataclass
class World:
    """A store with one workflow, and the Jobs that were made of it."""

    workflow: Workflow
    children: dict[str, Child] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)

    def look(self, *, crash_after: int | None = None):
        """One pass, as the engine makes it; cut off after so many Jobs made, nothing is reported."""
        decided = plan(self.workflow, self._observed())
        count = 0
        for step in decided.steps:
            assert isinstance(step, MakeJobs)
            for name in step.names:
                if crash_after is not None and count >= crash_after:
                    return
                count += 1
                self._make(name)
        if crash_after is None:
            status = report(self.workflow, self._observed())
            self.workflow = self.workflow.model_copy(update={"status": status})

    def _make(self, name):
        if name in self.children:
            return  # Its name is taken: it is there already.
        self.children[name] = Child(uid=f"uid-{name}", phase="Running")
        self.made[name] = self.made.get(name, 0) + 1
        known = report(self.workflow, self._observed()).jobs
        required = expressions.jobs(self.workflow.spec.jobs[name].requirement())
        open_ = {each.name for each in known if each.phase not in ENDED}
        holds = expressions.value(self.workflow.spec.jobs[name].requirement(), self.outcomes(known))
        assert holds is True, f"{name} was made while {sorted(required & open_)} had not ended"

    def _observed(self):
        ended = {each.name for each in self.workflow.status.jobs if each.phase in ENDED}
        return ObservedWorkflow(NOW, {name: child for name, child in self.children.items() if name not in ended})

    def outcomes(self, known=None):
        """How those ended that have, by the status."""
        said = {"Succeeded": Outcome.COMPLETE, "Failed": Outcome.FAILED, "Skipped": Outcome.SKIPPED}
        return {each.name: said[each.phase] for each in known or self.workflow.status.jobs if each.phase in said}

    @property
    def running(self):
        return sorted(name for name, child in self.children.items() if child.ended is None)

    @property
    def is_over(self):
        return self.workflow.status.phase in ("Succeeded", "Failed")


def drive(document, data):
    """Let jobs end in any order and any way, with crashes and deletions between, until the workflow is over."""
    world = World(Workflow.model_validate(document))
    for _ in range(10 * len(document["spec"]["jobs"]) + 10):
        if data.draw(st.booleans(), "crash"):
            world.look(crash_after=data.draw(st.integers(0, 3), "after"))
        world.look()
        if world.is_over:
            break
        running = world.running
        assert running, "nothing runs, and it is not over"
        for name in data.draw(st.lists(st.sampled_from(running), unique=True, min_size=1), "ends"):
            ended = data.draw(st.sampled_from((AfterCondition.COMPLETE, AfterCondition.FAILED)), name)
            world.children[name] = Child(uid=f"uid-{name}", phase="Running", ended=ended)
        gone = [name for name, outcome in world.outcomes().items() if outcome is not Outcome.SKIPPED]
        if gone and data.draw(st.booleans(), "delete"):
            world.children.pop(data.draw(st.sampled_from(sorted(gone)), "which"), None)
    return world


@pytest.mark.invariant("O3")
@pytest.mark.invariant("O4")
@settings(max_examples=40, deadline=None)
@given(workflows(), st.data())
def test_every_workflow_ends_with_each_job_run_once_or_skipped_as_it_requires(document, data):
    world = drive(document, data)
    ended = world.outcomes()

    assert world.is_over
    assert set(ended) == set(document["spec"]["jobs"])
    assert set(world.made.values()) <= {1}
    for name, job in world.workflow.spec.jobs.items():
        holds = expressions.value(job.requirement(), ended)
        assert holds is (ended[name] is not Outcome.SKIPPED)
        assert (name in world.made) is holds


@settings(max_examples=40, deadline=None)
@given(workflows(), st.data())
def test_a_second_look_changes_nothing(document, data):
    world = drive(document, data)
    status = world.workflow.status

    world.look()

    assert world.workflow.status == status
    assert plan(world.workflow, world._observed()).steps == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True).flatmap(expressions_about))
def test_an_expression_that_is_written_is_read_as_the_same(text):
    read = expressions.parse(text)

    again = expressions.parse(expressions.write(read))

    for outcome in Outcome:
        for known in ({}, dict.fromkeys("abcd", outcome), {"a": outcome}):
            assert expressions.value(read, known) is expressions.value(again, known)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True).flatmap(expressions_about),
    st.permutations("abcd"),
    st.lists(st.sampled_from(list(Outcome)), min_size=4, max_size=4),
)
def test_what_is_decided_stays_decided_whatever_ends_later(text, order, ends):
    read, ended, before = expressions.parse(text), {}, None
    for name, outcome in zip(order, ends, strict=True):
        ended[name] = outcome
        now = expressions.value(read, ended)
        assert before is None or now is before
        before = now

    assert before is not None
    assert isinstance(expressions.value(Is("a", frozenset(Outcome)), ended), bool)
