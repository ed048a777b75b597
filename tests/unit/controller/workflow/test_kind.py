"""Workflows in the engine's loop over a real store; what happens to jobs is written as their controller would."""

from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from api.errors import Forbidden
from api.kinds import JOB, WORKFLOW
from api.meta import ObjectKey
from api.objects.verbs import Verbs
from api.ports import ChangeType
from api.types.workflow import STOP_ANNOTATION
from controller.daemon.order_admission import OrderAdmission
from controller.engine.errors import TransientError
from controller.engine.metrics import EngineMetrics
from controller.engine.reconcile import ReconcileLoop
from controller.engine.recorder import Recorder
from controller.workflow.act import Actor
from controller.workflow.announce import Announcer, WorkflowMetrics, news
from controller.workflow.kind import WorkflowKind, of_job
from controller.workflow.observed import Observer
from state.store import Store
from support.hand_clock import HandClock
from support.objects import a_job, by
from support.workflows import a_workflow_document

KEY = ObjectKey("Workflow", "default", "etl")
CHAIN = {"a": {}, "b": {"requires": [{"job": "a"}]}, "c": {"requires": [{"job": "b"}]}}


class Bench:
    def __init__(self, directory):
        self.clock = HandClock()
        self.refused: set[str] = set()
        self.store = Store.open(directory / "store.db", self.clock)
        self.verbs = Verbs(self.store, self.clock, OrderAdmission(self.store.get, self._judge, self._judged).judged)
        self.verbs.bootstrap()
        self.loop = ReconcileLoop(
            WorkflowKind(Observer(self.clock, self.store.get), Actor(self.clock, self.verbs)), self.store
        )

    @contextmanager
    def _judged(self, document, live):
        self._judge(document, live)
        yield

    def _judge(self, job, _live):
        if job["metadata"]["name"] in self.refused:
            raise Forbidden(f"{job['metadata']['name']} is not allowed")

    def create(self, **fields):
        document = a_workflow_document(**fields)
        document["metadata"] = {"name": "etl", **fields.get("metadata", {})}
        return self.verbs.create(WORKFLOW, "default", document, by("me")).document

    def look(self):
        self.loop.reconcile(KEY)
        return self.workflow["status"]

    @property
    def workflow(self):
        return self.store.get(KEY)

    def jobs(self):
        return {job["metadata"]["name"]: job for job in self.store.each(JOB.name)}

    def finish(self, name):
        """Delete a Job, whose run is gone."""
        job = self.jobs()[name]
        self.store.update(job | {"metadata": {**job["metadata"], "finalizers": []}})
        self.store.delete(ObjectKey("Job", "default", name))

    def end(self, name, condition):
        job = self.jobs()[name]
        status = {
            "observedGeneration": job["metadata"]["generation"],
            "phase": {"Complete": "Succeeded"}.get(condition, condition),
            "reason": "Stopped" if STOP_ANNOTATION in job["metadata"].get("annotations", {}) else "Completed",
            "conditions": [{"type": condition, "status": "True"}],
        }
        self.store.update_status(job | {"status": status})


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


def test_a_chain_is_made_one_after_the_other_by_its_owner(bench):
    workflow = bench.create(**CHAIN)
    first = bench.look()
    bench.end("etl-a", "Complete")
    second = bench.look()

    jobs = bench.jobs()
    assert list(jobs) == ["etl-a", "etl-b"]
    assert [owner["uid"] for owner in jobs["etl-b"]["metadata"]["ownerReferences"]] == [workflow["metadata"]["uid"]]
    assert [each["phase"] for each in first["jobs"]] == ["Pending", "Waiting", "Waiting"]
    assert [each["phase"] for each in second["jobs"]] == ["Succeeded", "Pending", "Waiting"]


def test_the_job_has_what_its_template_says_and_no_more(bench):
    bench.create(a={"spec": {"command": ["sleep", "1"], "backoffLimit": 0}})
    bench.look()

    assert bench.jobs()["etl-a"]["spec"] == {"command": ["sleep", "1"], "backoffLimit": 0}


@pytest.mark.invariant("R1")
def test_a_look_at_what_is_as_it_is_writes_nothing(bench):
    bench.create(**CHAIN)
    bench.look()
    before = bench.store.revision()

    bench.look()

    assert bench.store.revision() == before


@pytest.mark.invariant("O3")
def test_a_job_that_was_made_before_a_crash_is_taken_as_made(bench):
    workflow = bench.create(**CHAIN)
    owner = {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Workflow",
        "name": "etl",
        "uid": workflow["metadata"]["uid"],
    }
    made = bench.verbs.create(JOB, "default", a_job("etl-a", metadata={"ownerReferences": [owner]}), by("me"))

    status = bench.look()

    assert list(bench.jobs()) == ["etl-a"]
    assert status["jobs"][0]["uid"] == made.document["metadata"]["uid"]


def test_a_job_that_is_refused_keeps_no_other_from_being_made_and_is_tried_again(bench):
    bench.create(a={}, b={}, c={})
    bench.refused = {"etl-a"}
    with pytest.raises(TransientError, match="cannot make 1 job: etl-a is not allowed") as refused:
        bench.look()
    bench.loop.report_failure(KEY, refused.value)
    told, made = bench.workflow["status"], list(bench.jobs())
    bench.refused = set()
    bench.look()

    assert (told["reason"], made) == ("JobRefused", ["etl-b", "etl-c"])
    assert list(bench.jobs()) == ["etl-a", "etl-b", "etl-c"]


@pytest.mark.invariant("O3")
def test_what_has_ended_while_another_job_is_refused_is_not_made_again(bench):
    bench.create(a={}, b={})
    bench.refused = {"etl-b"}
    for _ in range(2):
        with pytest.raises(TransientError) as refused:
            bench.look()
        bench.loop.report_failure(KEY, refused.value)
        if "etl-a" in bench.jobs():
            bench.end("etl-a", "Complete")
    with pytest.raises(TransientError) as refused:
        bench.look()
    bench.loop.report_failure(KEY, refused.value)
    bench.finish("etl-a")

    with pytest.raises(TransientError):
        bench.look()

    assert "etl-a" not in bench.jobs()
    assert bench.workflow["status"]["jobs"][0]["phase"] == "Succeeded"


def test_a_change_that_is_refused_of_one_job_is_made_of_the_others(bench):
    bench.create(a={}, b={}, c={})
    bench.look()
    bench.verbs.patch(WORKFLOW, "default", "etl", {"spec": {"suspend": True}}, "application/merge-patch+json", by("me"))
    bench.refused = {"etl-a"}

    with pytest.raises(TransientError, match="cannot change 1 job: etl-a is not allowed"):
        bench.look()

    assert [job["spec"].get("suspend", False) for job in bench.jobs().values()] == [False, True, True]


def test_a_workflow_of_a_job_that_the_policy_forbids_is_refused(bench):
    bench.refused = {"etl-b"}

    with pytest.raises(Forbidden, match="etl-b is not allowed"):
        bench.create(**CHAIN)


def test_a_job_whose_name_would_be_too_long_is_refused(bench):
    with pytest.raises(Exception, match=r"its Job would be called etl-a{60}: must be no more than 63 characters"):
        bench.create(**{"a" * 60: {}})


def test_one_cancel_stops_all_that_runs(bench):
    bench.create(a={}, b={}, c={"requires": [{"job": "a"}]})
    bench.look()
    patch = {"metadata": {"annotations": {STOP_ANNOTATION: "now"}}}
    bench.verbs.patch(WORKFLOW, "default", "etl", patch, "application/merge-patch+json", by("me"))
    bench.look()
    asked = [STOP_ANNOTATION in job["metadata"].get("annotations", {}) for job in bench.jobs().values()]
    for name in bench.jobs():
        bench.end(name, "Failed")

    assert asked == [True, True]
    assert bench.look()["phase"] == "Cancelled"


def test_suspending_and_resuming_reaches_the_jobs_but_for_those_that_others_suspended(bench):
    def suspend(kind, name, to):
        bench.verbs.patch(kind, "default", name, {"spec": {"suspend": to}}, "application/merge-patch+json", by("me"))
        bench.look()
        return [bool(job["spec"].get("suspend")) for job in bench.jobs().values()]

    bench.create(a={}, b={})
    bench.look()
    one = suspend(JOB, "etl-b", to=True)
    both = suspend(WORKFLOW, "etl", to=True)
    again = suspend(WORKFLOW, "etl", to=False)

    assert (one, both, again) == ([False, True], [True, True], [False, True])


def changes_of(bench, kind):
    return [change for change in bench.store.changes(0) if change.key.kind == kind.name]


def test_what_a_workflow_sees_of_its_jobs_wakes_it_and_nothing_else_does(bench):
    bench.create(**CHAIN)
    bench.look()
    bench.verbs.create(JOB, "default", a_job("stranger"), by("me"))
    job = bench.jobs()["etl-a"]
    bench.store.update(job | {"metadata": job["metadata"] | {"labels": {"x": "y"}}})
    bench.end("etl-a", "Complete")

    woken = [of_job(change) for change in changes_of(bench, JOB)]

    assert woken == [(KEY,), (), (), (KEY,)]


def test_a_job_that_is_gone_before_its_end_wakes_it_and_has_failed(bench):
    bench.create(**CHAIN)
    bench.look()
    bench.finish("etl-a")

    assert of_job(changes_of(bench, JOB)[-1]) == (KEY,)  # The last that was seen of it was what is gone now.
    status = bench.look()
    assert [(each["phase"], each["reason"]) for each in status["jobs"]] == [
        ("Failed", "JobDeleted"), ("Skipped", "RequirementsFailed"), ("Skipped", "RequirementsFailed"),
    ]  # fmt: skip


def test_it_tells_what_was_skipped_and_how_it_ended(bench):
    bench.create(**CHAIN)
    bench.look()
    bench.end("etl-a", "Failed")
    bench.look()
    changes = [change for change in changes_of(bench, WORKFLOW) if change.type is ChangeType.MODIFIED]

    told = [item for change in changes for item in news(change.previous, change.document)]

    assert [(item.type, item.reason) for item in told] == [("Normal", "JobSkipped"), ("Warning", "JobsFailed")]
    assert told[0].message == "b: it requires a=COMPLETED, and a is Failed; c too"


def test_a_job_that_waits_for_what_is_not_there_is_told_as_the_job_does(bench):
    bench.create(a={}, b={}, c={"requires": [{"job": "a"}]})
    bench.look()
    why = {"phase": "Pending", "reason": "NetworkNotFound", "message": 'there is no network "nonet"'}
    for name in ("etl-a", "etl-b"):
        bench.store.update_status(bench.jobs()[name] | {"status": why})

    both = bench.look()
    assert (both["phase"], both["reason"]) == ("Running", "JobWaits")
    assert both["message"] == 'a waits: NetworkNotFound: there is no network "nonet"; b waits too'
    bench.store.update_status(bench.jobs()["etl-b"] | {"status": {"phase": "Running", "reason": "Running"}})
    assert bench.look()["message"] == 'a waits: NetworkNotFound: there is no network "nonet"; b is active'
    bench.store.update_status(bench.jobs()["etl-a"] | {"status": {"phase": "Pending", "reason": "Pending"}})
    last = bench.look()

    assert (last["reason"], last["message"]) == ("Running", "a, b are active")
    changes = [change for change in changes_of(bench, WORKFLOW) if change.type is ChangeType.MODIFIED]
    told = [item for change in changes for item in news(change.previous, change.document)]
    assert [(item.type, item.reason, item.message) for item in told] == [("Normal", "JobWaits", both["message"])]


def test_each_end_is_counted_once(bench):
    registry = CollectorRegistry()
    announcer = Announcer(Recorder(bench.store, bench.clock, EngineMetrics(registry).events), WorkflowMetrics(registry))
    bench.create(a={})
    bench.look()
    bench.end("etl-a", "Complete")
    bench.look()
    for change in changes_of(bench, WORKFLOW):
        announcer.keys(change)

    def count(outcome):
        return registry.get_sample_value("runwright_workflows_finished_total", {"outcome": outcome})

    assert [count(outcome) for outcome in ("Succeeded", "Failed", "Cancelled")] == [1, 0, 0]
