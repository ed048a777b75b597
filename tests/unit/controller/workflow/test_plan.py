from datetime import timedelta

import pytest

from api.types.workflow import STOP_ANNOTATION
from controller.engine.plan import Plan
from controller.workflow.observed import ObservedWorkflow
from controller.workflow.plan import DeleteWorkflow, MakeJobs, ResumeJobs, StopJobs, SuspendJobs, plan
from controller.workflow.report import report, report_failure
from support.builders import NOW
from support.workflows import a_child, a_workflow, as_reported, with_children

CHAIN = {"a": {}, "b": {"requires": [{"job": "a"}]}, "c": {"requires": [{"job": "b"}]}}
CANCELLED = {"annotations": {STOP_ANNOTATION: "2026-01-02T03:04:05Z"}}


def phases(workflow, observed):
    return {each.name: each.phase for each in report(workflow, observed).jobs}


def test_the_jobs_that_require_nothing_are_made_first_and_at_once():
    workflow = a_workflow(a={}, b={}, c={"requires": [{"job": "a"}]})

    assert plan(workflow, with_children()) == Plan.do(MakeJobs(("a", "b")))


@pytest.mark.invariant("O3")
def test_a_job_is_made_when_what_it_requires_holds_and_not_before():
    workflow = a_workflow(**CHAIN)

    assert plan(workflow, with_children(a=a_child())).steps == ()
    assert plan(workflow, with_children(a=a_child("Complete"))).steps == (MakeJobs(("b",)),)


def test_a_join_waits_for_all():
    workflow = a_workflow(a={}, b={}, c={"requires": [{"job": "a"}, {"job": "b"}]})
    one = with_children(a=a_child("Complete"), b=a_child())
    both = with_children(a=a_child("Complete"), b=a_child("Complete"))

    assert plan(workflow, one).steps == ()
    assert plan(workflow, both).steps == (MakeJobs(("c",)),)


def test_what_can_never_be_run_is_skipped_and_so_is_what_requires_it():
    workflow = a_workflow(**CHAIN)
    observed = with_children(a=a_child("Failed", reason="Error", message="exited with 3"))

    status = report(workflow, observed)

    assert plan(workflow, observed).steps == ()
    assert phases(workflow, observed) == {"a": "Failed", "b": "Skipped", "c": "Skipped"}
    assert status.jobs[1].message == "it requires a=COMPLETED, and a is Failed"
    assert (status.phase, status.reason, status.message) == (
        "Failed", "JobsFailed", "a failed: Error: exited with 3",
    )  # fmt: skip
    assert (status.total, status.failed, status.skipped) == (3, 1, 2)


def test_a_failure_has_its_own_branch():
    workflow = a_workflow(
        a={}, good={"requires": [{"job": "a"}]}, bad={"requires": [{"job": "a", "condition": "Failed"}]}
    )

    assert plan(workflow, with_children(a=a_child("Failed"))).steps == (MakeJobs(("bad",)),)
    assert phases(workflow, with_children(a=a_child("Complete"))) == {
        "a": "Succeeded",
        "good": "Pending",
        "bad": "Skipped",
    }


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_finished_holds_however_it_ended(ended):
    workflow = a_workflow(a={}, b={"requires": [{"job": "a", "condition": "Finished"}]})

    assert plan(workflow, with_children(a=a_child(ended))).steps == (MakeJobs(("b",)),)


def test_finished_holds_of_a_job_that_was_skipped_too():
    workflow = a_workflow(**CHAIN, tidy={"requires": [{"job": "c", "condition": "Finished"}]})

    assert plan(workflow, with_children(a=a_child("Failed"))).steps == (MakeJobs(("tidy",)),)


def test_an_expression_decides_as_soon_as_it_is_decided():
    workflow = a_workflow(a={}, b={}, c={"expression": "a=COMPLETED OR b=COMPLETED"})

    assert plan(workflow, with_children(a=a_child("Complete"), b=a_child())).steps == (MakeJobs(("c",)),)


@pytest.mark.invariant("O3")
def test_how_a_job_ended_stays_though_the_job_is_deleted_or_run_again():
    workflow = a_workflow(**CHAIN)
    workflow = as_reported(workflow, with_children(a=a_child("Complete"), b=a_child()))

    assert phases(workflow, with_children(a=a_child("Failed"), b=a_child("Complete")))["a"] == "Succeeded"
    assert plan(workflow, with_children(b=a_child("Complete"))).steps == (MakeJobs(("c",)),)


@pytest.mark.invariant("O3")
def test_a_job_that_was_made_and_deleted_is_not_made_again():
    workflow = as_reported(a_workflow(**CHAIN), with_children(a=a_child()))

    status = report(workflow, with_children())

    assert plan(workflow, with_children()).steps == ()
    assert (status.jobs[0].phase, status.jobs[0].reason) == ("Failed", "JobDeleted")
    assert status.phase == "Failed"


def test_a_job_of_somebody_else_is_left_alone_and_said():
    workflow = a_workflow(**CHAIN)
    observed = with_children(a=a_child("Complete", is_mine=False))

    decided, status = plan(workflow, observed), report(workflow, observed)

    assert (decided.steps, decided.check_again_seconds) == ((), 15.0)
    assert (status.phase, status.reason) == ("Pending", "NameTaken")
    assert "job/etl-a is there, and is not of this workflow" in status.message


def test_cancelling_stops_what_runs_and_begins_nothing_more():
    workflow = a_workflow(metadata=CANCELLED, **CHAIN, d={})
    running = with_children(a=a_child("Complete"), b=a_child())
    stopped = with_children(a=a_child("Complete"), b=a_child("Failed", reason="Stopped"))

    assert plan(workflow, running).steps == (StopJobs(("b",)),)
    assert phases(workflow, stopped) == {"a": "Succeeded", "b": "Cancelled", "c": "Cancelled", "d": "Cancelled"}
    assert report(workflow, stopped).phase == "Cancelled"


def test_a_stop_is_asked_for_once():
    workflow = a_workflow(metadata=CANCELLED, **CHAIN)

    assert plan(workflow, with_children(a=a_child(is_asked_to_stop=True))).steps == ()


def test_a_workflow_that_is_over_is_not_cancelled_any_more():
    workflow = a_workflow(metadata=CANCELLED, a={})

    assert report(workflow, with_children(a=a_child("Complete"))).phase == "Succeeded"


def test_suspending_freezes_what_runs_and_holds_the_rest():
    workflow = a_workflow(suspend=True, **CHAIN, d={})

    assert plan(workflow, with_children(a=a_child())).steps == (SuspendJobs(("a",)),)
    assert plan(workflow, with_children(a=a_child("Complete"))).steps == ()
    assert report(workflow, with_children(a=a_child("Complete"))).phase == "Suspended"


def test_resuming_lets_those_go_on_that_the_workflow_suspended():
    workflow = a_workflow(a={}, b={})
    observed = with_children(
        a=a_child(is_suspended=True, is_suspended_with_workflow=True), b=a_child(is_suspended=True)
    )

    assert plan(workflow, observed).steps == (ResumeJobs(("a",)),)


def test_all_done_is_a_success_and_skipped_jobs_are_named():
    workflow = a_workflow(a={}, b={"requires": [{"job": "a", "condition": "Failed"}]})

    status = report(workflow, with_children(a=a_child("Complete", completion_time="2026-01-02T03:04:04Z")))

    assert (status.phase, status.message) == ("Succeeded", "all that was to run has completed; skipped: b")
    assert [(each.type, each.status, each.reason) for each in status.conditions] == [("Complete", "True", "Completed")]


def test_it_is_deleted_when_its_time_to_live_is_over():
    workflow = a_workflow(a={})
    workflow = workflow.model_copy(update={"spec": workflow.spec.model_copy(update={"ttl_seconds_after_finished": 60})})
    children = {"a": a_child("Complete", completion_time="2026-01-02T03:04:05Z")}

    assert plan(workflow, ObservedWorkflow(NOW, children)).check_again_seconds == 60
    assert plan(workflow, ObservedWorkflow(NOW + timedelta(seconds=60), children)).steps == (DeleteWorkflow(),)


def test_one_that_is_being_deleted_makes_nothing_more():
    workflow = a_workflow(metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}, **CHAIN)

    assert plan(workflow, with_children()) == Plan.nothing()
    assert report(workflow, with_children()).phase == "Terminating"


def test_a_pass_that_failed_says_why_and_how_its_jobs_are():
    from controller.engine.errors import TransientError

    workflow = as_reported(a_workflow(**CHAIN), with_children(a=a_child()))
    now = with_children(a=a_child("Complete"), b=a_child())

    status = report_failure(workflow, now, TransientError("JobRefused", "cannot make 1 job: no"))

    assert (status.reason, status.message) == ("JobRefused", "cannot make 1 job: no")
    assert [each.phase for each in status.jobs[:2]] == ["Succeeded", "Running"]


@pytest.mark.parametrize("reason", ["Stopped", "Canceled"])
def test_a_job_that_was_stopped_with_the_workflow_is_cancelled_whether_it_had_begun_or_not(reason):
    workflow = a_workflow(metadata={"annotations": {STOP_ANNOTATION: "now"}}, a={})

    status = report(workflow, with_children(a=a_child("Failed", reason=reason)))

    assert (status.phase, status.jobs[0].phase) == ("Cancelled", "Cancelled")
